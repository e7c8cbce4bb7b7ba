import http from 'node:http'
import * as api from '@opentelemetry/api'
import { AlwaysOffSampler, type ReadableSpan } from '@opentelemetry/sdk-trace'
import { runInScope } from 'logical-context'
import { contextFetch } from 'logical-context/clients/fetch'
import { inject } from 'logical-context/clients/inject'
import { instrumentNodeHttp } from 'logical-context/clients/node-http'
import { undiciInterceptor } from 'logical-context/clients/undici'
import { suppressTracing } from '@opentelemetry/core'
import { b3, w3cTraceContext } from 'logical-context/propagators'
import { newIdentity, TraceContext, traceContext } from 'logical-context/variables'
import { Agent, fetch as undiciFetch } from 'undici'
import { describe, expect, it } from 'vitest'
import { type Upstream, upstream } from '../../clients/upstream.ts'
import { instrumentHttp, instrumentUndici } from './instrumentations.ts'
import { inSpan, setUpSdk, tree } from './sdk.ts'

const spanPerCall = true

const clients: [name: string, call: (url: string) => Promise<unknown>][] = [
  ['contextFetch', async (url) => (await contextFetch.with({ spanPerCall })(url)).text()],
  [
    'undici',
    async (url) => {
      const dispatcher = new Agent().compose(undiciInterceptor({ spanPerCall }))
      await (await undiciFetch(url, { dispatcher })).text()
      await dispatcher.close()
    },
  ],
  ['node:http', getByHttp],
]

async function getByHttp(url: string): Promise<void> {
  const injection = instrumentNodeHttp({ spanPerCall })
  await new Promise((resolve, reject) => {
    http.get(url, { agent: false }, (response) => response.resume().on('close', resolve)).on('error', reject)
  })
  injection.stop()
}

/** The ids of the callers' spans, as the upstream received them. */
function parentsOf({ received }: Upstream): (string | undefined)[] {
  return received.map(({ lines }) => lines('traceparent').join().split('-')[2])
}

function idsOf(spans: readonly ReadableSpan[]): string[] {
  return spans.map((span) => span.spanContext().spanId)
}

function isCall({ kind }: ReadableSpan): boolean {
  return kind === api.SpanKind.CLIENT
}

describe.each(clients)('spanPerCall with the bridge, calls by %s', (_name, call) => {
  it('sends the id of a recorded span of each call, below the active span', async () => {
    const { tracer, spans } = setUpSdk()
    const warehouse = await upstream()

    await runInScope(() =>
      inSpan(tracer, 'query', async () => {
        await call(warehouse.url)
        await call(warehouse.url)
      }),
    )

    const calls = spans().filter(isCall)
    expect(idsOf(calls)).toEqual(parentsOf(warehouse))
    expect(new Set(idsOf(calls)).size).toBe(2)
    expect(tree(spans())['call 127.0.0.1']).toEqual({ parent: 'query' })
    expect(calls.map(({ attributes }) => attributes['server.address'])).toEqual(['127.0.0.1', '127.0.0.1'])
  })

  it('sends the id of the span of an instrumentation, if there is one', async () => {
    const { tracer, spans } = setUpSdk()
    const warehouse = await upstream()
    instrumentHttp()
    instrumentUndici()

    await runInScope(() =>
      inSpan(tracer, 'query', async () => {
        await call(warehouse.url)
        await call(warehouse.url)
      }),
    )

    const instrumented = spans().filter((span) => isCall(span) && span.name !== 'call 127.0.0.1')
    expect(idsOf(instrumented)).toEqual(parentsOf(warehouse))
    expect(new Set(parentsOf(warehouse)).size).toBe(2)
  })

  it('sends an id for each call of a trace that is not sampled, and records nothing', async () => {
    const { tracer, spans } = setUpSdk({ sampler: new AlwaysOffSampler() })
    const warehouse = await upstream()

    await runInScope(() =>
      inSpan(tracer, 'query', async () => {
        await call(warehouse.url)
        await call(warehouse.url)
      }),
    )

    expect(new Set(parentsOf(warehouse)).size).toBe(2)
    expect(warehouse.received.map(({ lines }) => lines('traceparent').join().slice(-3))).toEqual(['-00', '-00'])
    expect(spans()).toEqual([])
  })

  it('sends no trace and records nothing while tracing is suppressed', async () => {
    const { tracer, spans } = setUpSdk()
    const warehouse = await upstream()

    await runInScope(() =>
      inSpan(tracer, 'query', () => api.context.with(suppressTracing(api.context.active()), () => call(warehouse.url))),
    )

    expect(parentsOf(warehouse)).toEqual([undefined])
    expect(spans().filter(isCall)).toEqual([])
  })
})

describe('spanPerCall with the bridge', () => {
  const propagators = [w3cTraceContext(), b3()]
  const injectEach = inject.with({ propagators, spanPerCall })

  function injectTwice(): string[] {
    const calls = [{}, {}] as Record<string, string>[]
    for (const headers of calls) injectEach(headers)
    for (const { traceparent, b3: single } of calls) expect(single?.split('-')[1]).toBe(traceparent?.split('-')[2])
    return calls.map(({ traceparent = '' }) => traceparent)
  }

  it('sends an id for each call of a trace that no tracer records, and begins no other trace', () => {
    const { spans } = setUpSdk()

    const texts = runInScope(injectTwice, { context: newIdentity() })

    expect(new Set(texts.map((text) => text.split('-')[1])).size).toBe(1)
    expect(new Set(texts.map((text) => text.split('-')[2])).size).toBe(2)
    expect(spans()).toEqual([])
  })

  it('records calls below the unit of a sampled trace that has no span', () => {
    const { spans } = setUpSdk()
    const trace = new TraceContext({
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      flags: 1,
    })

    const texts = runInScope(injectTwice, { context: newIdentity().with(traceContext, trace) })

    expect(texts).toEqual(idsOf(spans()).map((id) => `00-${trace.traceId}-${id}-01`))
    expect(spans().map((span) => span.parentSpanContext?.spanId)).toEqual([trace.spanId, trace.spanId])
    expect(spans().map(({ name }) => name)).toEqual(['call', 'call'])
  })

  it('records calls below the trace of the context that was passed, and not below the active span', async () => {
    const { tracer, spans } = setUpSdk()
    const trace = new TraceContext({
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      flags: 1,
    })
    const headers: Record<string, string> = {}

    await runInScope(() =>
      inSpan(tracer, 'query', () => injectEach(headers, { context: newIdentity().with(traceContext, trace) })),
    )

    const [call] = spans().filter(isCall)
    expect(headers['traceparent']).toBe(`00-${trace.traceId}-${call?.spanContext().spanId}-01`)
    expect(call?.parentSpanContext?.spanId).toBe(trace.spanId)
  })

  it('records nothing for a host that receives no trace', async () => {
    const { tracer, spans } = setUpSdk()
    const warehouse = await upstream()
    const fetchWith = contextFetch.with({ spanPerCall, trace: ['other.example'] })

    await runInScope(() => inSpan(tracer, 'query', async () => (await fetchWith(warehouse.url)).text()))

    expect(parentsOf(warehouse)).toEqual([undefined])
    expect(spans().filter(isCall)).toEqual([])
  })

  it('sends an id for each call after the SDK was unregistered', async () => {
    const { tracer } = setUpSdk()
    api.trace.disable()

    const texts = await runInScope(() => inSpan(tracer, 'query', injectTwice))

    expect(new Set(texts.map((text) => text.split('-')[1])).size).toBe(1)
    expect(new Set(texts.map((text) => text.split('-')[2])).size).toBe(2)
  })
})
