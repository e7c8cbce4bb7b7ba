import { hash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import Fastify from 'fastify'
import type { Policy } from 'logical-context'
import { contextLogger } from 'logical-context/bridges/pino'
import logicalContext, { type LogicalContextOptions } from 'logical-context/middleware/fastify'
import { type TraceContext, traceContext } from 'logical-context/variables'
import { pino } from 'pino'
import { propagators, tenant, user } from './variables.ts'

export interface Order {
  id: string
  item: string
  quantity: number
}

export type Service = Awaited<ReturnType<typeof createService>>

/** A server and a logger whose lines say for which request they were written, in which span and task. */
export async function createService(name: string, options: LogicalContextOptions = {}) {
  const log = contextLogger(pino({ base: { service: name, pid: process.pid }, serializers: { policy: policyText } }), {
    fields: {
      tenant,
      user,
      parent_span_id: { variable: traceContext, format: (trace: TraceContext) => trace.parentSpanId },
      link_span_id: { variable: traceContext, format: (trace: TraceContext) => trace.link?.spanId },
    },
  })
  const app = Fastify({ loggerInstance: log })
  await app.register(logicalContext, { propagators, ...options })
  app.addHook('onRequestAbort', async (request) => request.log.warn('client hung up'))
  return { app, log }
}

/** Serves on a free port until the shop closes: then `close` answers what is under way and drains the tasks. */
export async function listen({ app }: Service): Promise<void> {
  process.send?.(await app.listen({ host: '127.0.0.1', port: 0 }))
  const close = () => void app.close().then(() => process.exit())
  process.once('SIGTERM', close)
  // The shop is gone: without it there is no service, and on Windows this is how it closes one.
  process.once('disconnect', close)
  // Ctrl-C reaches every process of a terminal. The shop closes its services in order.
  process.on('SIGINT', () => {})
}

/** Takes as long as real work would: by order and step, and in every run the same. */
export async function work(order: string, step: string): Promise<void> {
  await pause(80 + (Number.parseInt(hash('sha1', `${order} ${step}`).slice(0, 4), 16) % 160))
}

function policyText(policy: Policy): string {
  return typeof policy === 'string' ? policy : `only ${policy.only.map(({ name }) => name).join(', ')}`
}
