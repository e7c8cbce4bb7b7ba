import { hash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import { contextLogger } from 'logical-context/bridges/pino'
import logicalContext, { type LogicalContextOptions } from 'logical-context/middleware/fastify'
import { type TraceContext, traceContext } from 'logical-context/variables'
import { pino } from 'pino'
import { collectorUrl } from './collector.ts'
import { propagators, tenant, user } from './variables.ts'

export type Order = { id: string; item: string; quantity: number }

/** A server, and a logger that adds the request, the tenant, the user and the span to every line. */
export async function createService(name: string, options: LogicalContextOptions = {}) {
  const collector = collectorUrl(process.argv.slice(2))
  // Without the option, no package of OpenTelemetry is loaded.
  const sendSpans = collector && (await import('./tracing.ts')).startTracing(name, collector)
  const causedBy = ({ parentSpanId, link }: TraceContext) => parentSpanId ?? link?.spanId
  const fields = { tenant, user, caused_by: { variable: traceContext, format: causedBy } }
  const log = contextLogger(pino({ name }), { fields })
  const app = Fastify({ loggerInstance: log })
  await app.register(logicalContext, { propagators, drainTimeoutMs: 8000, ...options })
  /** Serves on a free port until the shop closes, then finishes the running requests and tasks. */
  async function listen(): Promise<void> {
    process.send?.(await app.listen({ host: '127.0.0.1', port: 0 }))
    const { close } = closeWithGrace({ delay: 10_000, skip: ['SIGINT'] }, async () => {
      await app.close()
      // After the drain, because tasks and their spans end until then.
      if (sendSpans) log.info(await sendSpans(), 'spans sent')
    })
    // By a message on Windows, which has no SIGTERM, and at the end of the shop, the only process that handles Ctrl-C.
    process.once('message', close).once('disconnect', close)
    process.on('SIGINT', () => {})
  }
  return { app, log, listen }
}

/** Waits as long as real work: the time depends on the order and the step, and is the same in every run. */
export const work = (order: string, step: string): Promise<void> =>
  setTimeout(80 + (Number.parseInt(hash('sha1', order + step).slice(0, 4), 16) % 160))

export function post(order: Order) {
  return { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(order) }
}
