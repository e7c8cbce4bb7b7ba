import { hash } from 'node:crypto'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import { contextLogger } from 'logical-context/bridges/pino'
import type { LogicalContextOptions } from 'logical-context/middleware/fastify'
import { type MessageInfo, message, type TraceContext, traceContext } from 'logical-context/variables'
import { pino } from 'pino'
import { collectorUrl } from './collector.ts'
import { propagators, tenant, user } from './variables.ts'

export type Order = { id: string; item: string; quantity: number; jams?: boolean }

/** A process of the shop, and a logger that adds the request, the job, the tenant, the user and the span to every line. */
export async function createProcess(name: string) {
  // Until it is ready, it ends at once with the shop.
  let close: () => unknown = () => process.exit(1)
  process.once('disconnect', () => close())
  if (!process.connected) close()
  const collector = collectorUrl(process.argv.slice(2))
  // Without the option, no package of OpenTelemetry is loaded.
  const sendSpans = collector && (await import('./tracing.ts')).startTracing(name, collector)
  const caused_by = { variable: traceContext, format: (at: TraceContext) => at.link?.spanId ?? at.parentSpanId }
  const policy = { variable: message, format: (job: MessageInfo) => job.policy }
  const log = contextLogger(pino({ name }), { fields: { tenant, user, caused_by, policy } })
  /** Sends the shop the address of the process, and closes it with the shop. */
  function ready(server: Server, finish: () => unknown): void {
    process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    ;({ close } = closeWithGrace({ delay: 10_000, skip: ['SIGINT'] }, async () => {
      await finish()
      // After the drain, because tasks and their spans end until then.
      if (sendSpans) log.info(await sendSpans(), 'spans sent')
    }))
    // Windows has no SIGTERM. The shop is the only process that handles Ctrl-C.
    process.once('message', () => close()).on('SIGINT', () => {})
  }
  return { log, ready }
}

/** A process with a server, and an inspector that also shows `others`. It finishes requests and tasks before it closes. */
export async function createService(name: string, options: LogicalContextOptions = {}, others: string[] = []) {
  const { log, ready } = await createProcess(name)
  const app = (await import('fastify')).default({ loggerInstance: log })
  await app.register(import('logical-context/middleware/fastify'), { propagators, drainTimeoutMs: 8000, ...options })
  const services = others.map((address) => `${address}/__context`)
  await app.register(import('logical-context/inspector'), { service: name, fields: { tenant, user }, services })
  const listen = () => app.listen({ host: '127.0.0.1', port: 0 }).then(() => ready(app.server, () => app.close()))
  return { app, log, listen }
}

/** Waits as long as real work: the time depends on the order and the step, and is the same in every run. */
export const work = (order: string, step: string): Promise<void> =>
  setTimeout(80 + (Number.parseInt(hash('sha1', order + step).slice(0, 4), 16) % 160))

export function post(order: Order) {
  return { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(order) }
}
