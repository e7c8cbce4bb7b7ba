import type { AddressInfo } from 'node:net'
import * as api from '@opentelemetry/api'
import Fastify, { type FastifyInstance } from 'fastify'
import { ContextVar, spawn, type Task } from 'logical-context'
import { contextFetch } from 'logical-context/clients/fetch'
import logicalContext from 'logical-context/middleware/fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import { instrumentHttp, instrumentUndici } from './instrumentations.ts'
import { setUpSdk, tree } from './sdk.ts'

const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })

async function service(routes: (app: FastifyInstance) => void): Promise<{ app: FastifyInstance; url: string }> {
  const app = Fastify()
  await app.register(logicalContext)
  routes(app)
  await app.listen({ port: 0, host: '127.0.0.1' })
  onTestFinished(() => app.close())
  return { app, url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}` }
}

describe.each([
  ['spans of ours', false],
  ["OpenTelemetry's instrumentations", true],
])('three services, with %s', (_name, instrumented) => {
  it('are one trace, in which each task is where its policy puts it', async () => {
    const { spans } = setUpSdk({ requestSpans: true, fields: { tenant } })
    if (instrumented) {
      instrumentHttp()
      instrumentUndici()
    }
    const tasks: Task[] = []
    const warehouse = await service((app) => {
      app.post('/reserve', () => {
        tasks.push(spawn(() => Promise.reject(new RangeError('no truck')), { name: 'call-truck' }))
        return { ok: true }
      })
      app.post('/reindex', () => ({ ok: true }))
    })
    const orders = await service((app) => {
      app.post('/orders', async () => {
        tenant.set('acme')
        tasks.push(
          spawn(() => contextFetch(`${warehouse.url}/reindex`, { method: 'POST' }), {
            name: 'reindex',
            policy: 'isolate',
          }),
          spawn(() => {}, { name: 'touch-cache', policy: 'share' }),
        )
        await contextFetch(`${warehouse.url}/reserve`, { method: 'POST' })
        return { ok: true }
      })
    })
    const gateway = await service((app) => {
      app.post('/buy', async () => {
        tasks.push(spawn(() => {}, { name: 'audit', policy: { only: [tenant] } }))
        await contextFetch(`${orders.url}/orders`, { method: 'POST' })
        return { ok: true }
      })
    })

    await api.context.with(api.ROOT_CONTEXT, async () => {
      // A client that sends no trace.
      await (await fetch(`${gateway.url}/buy`, { method: 'POST' })).text()
    })
    await Promise.allSettled(tasks.map((task) => task.result()))
    await Promise.all([gateway, orders, warehouse].map(({ app }) => app.close()))

    const all = spans()
    // The calls are between the services' own spans; without instrumentations they have none.
    const server = Object.fromEntries(
      Object.entries(tree(all.map(named))).filter(([name]) => !name.startsWith('CLIENT')),
    )
    const below = (name: string) => (instrumented ? `CLIENT of ${name}` : name)
    expect(server).toEqual({
      'POST /buy': instrumented ? { parent: 'CLIENT of no service' } : {},
      audit: { parent: 'POST /buy' },
      'POST /orders': { parent: below('POST /buy') },
      reindex: { links: ['POST /orders'] },
      'POST /reserve': { parent: below('POST /orders') },
      'POST /reindex': { parent: below('reindex') },
      'call-truck': { parent: 'POST /reserve' },
    })
    const traces = new Map(all.map((span) => [span.name, span.spanContext().traceId]))
    expect(traces.get('call-truck')).toBe(traces.get('POST /buy'))
    expect(traces.get('POST /reindex')).toBe(traces.get('reindex'))
    expect(traces.get('reindex')).not.toBe(traces.get('POST /buy'))
    const truck = all.find(({ name }) => name === 'call-truck')
    expect(truck?.status).toEqual({ code: api.SpanStatusCode.ERROR, message: 'no truck' })
    expect(all.find(({ name }) => name === 'reindex')?.attributes['tenant']).toBe('acme')

    function named(span: (typeof all)[number]) {
      if (span.kind !== api.SpanKind.CLIENT) return span
      const parent = all.find((known) => known.spanContext().spanId === span.parentSpanContext?.spanId)
      return Object.create(span, { name: { value: `CLIENT of ${parent?.name ?? 'no service'}` } }) as typeof span
    }
  })
})
