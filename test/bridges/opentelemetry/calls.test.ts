import http from 'node:http'
import * as api from '@opentelemetry/api'
import { suppressTracing, unsuppressTracing } from '@opentelemetry/core'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import { ContextVar, runInScope } from 'logical-context'
import { openTelemetry } from 'logical-context/bridges/opentelemetry'
import { contextFetch } from 'logical-context/clients/fetch'
import { instrumentNodeHttp } from 'logical-context/clients/node-http'
import { undiciInterceptor } from 'logical-context/clients/undici'
import {
  b3,
  xRequestId,
  toTextMapPropagator,
  composite,
  w3cBaggage,
  w3cTraceContext,
} from 'logical-context/propagators'
import { newIdentity, requestId as requestIdVariable } from 'logical-context/variables'
import { Agent, fetch as undiciFetch, Pool } from 'undici'
import { Agent as Agent7, fetch as undici7Fetch } from 'undici7'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Upstream, upstream } from '../../clients/upstream.ts'
import { instrumentHttp, instrumentUndici } from './instrumentations.ts'
import { inSpan, setUpSdk, tree } from './sdk.ts'

const tenant = new ContextVar<string>('tenant')

/** All ways to make a call that the context goes along with. */
const clients: [name: string, call: (url: string) => Promise<unknown>][] = [
  ['contextFetch', async (url) => (await contextFetch(url)).text()],
  [
    'undici 8',
    async (url) => {
      const dispatcher = new Agent().compose(undiciInterceptor())
      await (await undiciFetch(url, { dispatcher })).text()
      await dispatcher.close()
    },
  ],
  [
    'undici 7',
    async (url) => {
      const dispatcher = new Agent7().compose(undiciInterceptor() as never)
      await (await undici7Fetch(url, { dispatcher })).text()
      await dispatcher.close()
    },
  ],
  [
    'a pool of undici',
    async (url) => {
      const pool = new Pool(url, { connections: 1 })
      const dispatcher = pool.compose(undiciInterceptor())
      const answers = [1, 2, 3].map(() => dispatcher.request({ path: '/', method: 'GET' }))
      for (const { body } of await Promise.all(answers)) await body.dump()
      await pool.close()
    },
  ],
  ['node:http', getByHttp],
]

async function getByHttp(url: string): Promise<void> {
  const injection = instrumentNodeHttp()
  await new Promise((resolve, reject) => {
    http.get(url, { agent: false }, (response) => response.resume().on('close', resolve)).on('error', reject)
  })
  injection.stop()
}

describe.each(clients)('openTelemetry, calls by %s', (_name, call) => {
  it('sends the active span to the callee', async () => {
    const { tracer } = setUpSdk()
    const warehouse = await upstream()

    await runInScope(() =>
      inSpan(tracer, 'query', (span) => call(warehouse.url).then(() => expectTraceparent(warehouse, span))),
    )
  })

  it('writes one set of headers, that of the span of OpenTelemetry, and makes no span of its own', async () => {
    const { tracer, spans } = setUpSdk()
    const warehouse = await upstream()
    instrumentHttp()
    instrumentUndici()

    await runInScope(() => inSpan(tracer, 'query', () => call(warehouse.url)))

    const calls = spans().filter(isCall)
    const clientIds = calls.map((span) => span.spanContext().spanId)
    expect(calls).toHaveLength(warehouse.received.length)
    for (const span of calls) expect(tree(spans())[span.name]).toEqual({ parent: 'query' })
    for (const { lines } of warehouse.received) {
      expect(lines('traceparent')).toHaveLength(1)
      expect(clientIds).toContain(lines('traceparent')[0]?.split('-')[2])
    }
  })

  it('sends a decision not to sample to the callee', async () => {
    const { tracer } = setUpSdk()
    const warehouse = await upstream()
    const unsampled = api.trace.setSpanContext(api.ROOT_CONTEXT, {
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      traceFlags: 0,
    })

    await api.context.with(unsampled, () => runInScope(() => inSpan(tracer, 'query', () => call(warehouse.url))))

    for (const { lines } of warehouse.received) expect(lines('traceparent')).toEqual([expect.stringMatching(/-00$/)])
  })

  it('writes no trace and no request id while tracing is suppressed, and writes them again after it', async () => {
    const { spans } = setUpSdk()
    const warehouse = await upstream()

    await runInScope(
      async () => {
        await api.context.with(suppressTracing(api.context.active()), () => call(warehouse.url))
        await api.context.with(unsuppressTracing(suppressTracing(api.context.active())), () => call(warehouse.url))
      },
      { context: newIdentity() },
    )

    const traced = warehouse.received.map(({ lines }) =>
      ['traceparent', 'x-request-id'].map((field) => lines(field).length),
    )
    const half = traced.length / 2
    expect(new Set(traced.slice(0, half).map(String))).toEqual(new Set(['0,0']))
    expect(new Set(traced.slice(half).map(String))).toEqual(new Set(['1,1']))
    expect(spans()).toEqual([])
  })

  it('goes out once where tracing is suppressed', async () => {
    const { spans } = setUpSdk()
    const warehouse = await upstream()
    instrumentHttp()
    instrumentUndici()

    await runInScope(() => api.context.with(suppressTracing(api.context.active()), () => call(warehouse.url)))

    expect(spans().filter(isCall)).toEqual([])
    for (const { lines } of warehouse.received) expect(lines('traceparent').length).toBeLessThan(2)
  })
})

describe('openTelemetry, instrumented before the bridge', () => {
  it('writes one set of headers', async () => {
    const { tracer, bridge } = setUpSdk()
    bridge.stop()
    instrumentUndici()
    const second = openTelemetry({ api })
    onTestFinished(() => second.stop())
    const warehouse = await upstream()

    await runInScope(() => inSpan(tracer, 'query', async () => (await contextFetch(warehouse.url)).text()))

    expect(warehouse.received.map(({ lines }) => lines('traceparent').length)).toEqual([1])
  })
})

describe('toTextMapPropagator with OpenTelemetry', () => {
  it('runs with instrumentations that write the declared fields for the hosts that may receive them', async () => {
    const { tracer } = setUpSdk()
    const warehouse = await upstream()
    instrumentHttp()
    instrumentUndici()
    const ours = composite([w3cTraceContext(), b3(), w3cBaggage({ members: { tenant } }), xRequestId()])
    api.propagation.disable()
    api.propagation.setGlobalPropagator(toTextMapPropagator(ours, { destination: { values: true } }))

    await runInScope(() => {
      tenant.set('acme')
      requestIdVariable.set('req-1')
      return inSpan(tracer, 'query', async () => {
        await (await fetch(warehouse.url)).text()
        await new Promise((resolve) => {
          http.get(warehouse.url, { agent: false }, (response) => response.resume().on('close', resolve))
        })
      })
    })

    expect(warehouse.received).toHaveLength(2)
    for (const { lines } of warehouse.received) {
      expect(lines('baggage')).toEqual(['tenant=acme'])
      expect(lines('x-request-id')).toEqual(['req-1'])
      expect(lines('traceparent')).toHaveLength(1)
      expect(lines('b3')[0]?.split('-')[1]).toBe(lines('traceparent')[0]?.split('-')[2])
    }
  })

  it('carries our variables through propagation.inject and propagation.extract', async () => {
    const { tracer } = setUpSdk()
    const ours = composite([w3cTraceContext(), w3cBaggage({ members: { tenant } })])
    api.propagation.disable()
    api.propagation.setGlobalPropagator(
      toTextMapPropagator(ours, { destination: { values: true }, peer: { values: true } }),
    )
    onTestFinished(() => api.propagation.disable())
    const message: Record<string, string> = {}

    const sender = await runInScope(() => {
      tenant.set('acme')
      return inSpan(tracer, 'send', (span) => {
        api.propagation.inject(api.context.active(), message)
        return span.spanContext()
      })
    })

    const received = api.propagation.extract(api.ROOT_CONTEXT, message)
    expect(message).toEqual({ traceparent: `00-${sender.traceId}-${sender.spanId}-01`, baggage: 'tenant=acme' })
    expect(api.trace.getSpanContext(received)).toMatchObject({ spanId: sender.spanId, isRemote: true })
  })
})

/** The upstream is of this process, and has spans too. */
function isCall({ kind }: ReadableSpan): boolean {
  return kind === api.SpanKind.CLIENT
}

function expectTraceparent({ received }: Upstream, span: api.Span): void {
  const { traceId, spanId, traceFlags } = span.spanContext()
  expect(received).not.toHaveLength(0)
  for (const { lines } of received) {
    expect(lines('traceparent')).toEqual([`00-${traceId}-${spanId}-0${traceFlags}`])
  }
}
