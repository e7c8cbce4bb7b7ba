import * as api from '@opentelemetry/api'
import { runInScope } from 'logical-context'
import { type TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { instrumentHttp } from './instrumentations.ts'
import { inSpan, setUpSdk } from './sdk.ts'
import { caller, shop, type Shop, traceparent } from './shop.ts'

const boots = ['that has ended', 'that has not ended'] as const

/** Runs `start` in a span; whether the span then ends is in the name of the case. */
async function boot<R>(
  tracer: api.Tracer,
  state: (typeof boots)[number],
  start: () => Promise<R>,
): Promise<readonly [R, api.Span]> {
  return tracer.startActiveSpan('boot', async (span) => {
    const result = await start()
    if (state === 'that has ended') span.end()
    return [result, span] as const
  })
}

async function request(
  server: Shop,
  seen: (TraceContext | undefined)[],
  headers = {},
): Promise<TraceContext | undefined> {
  await server.get('/', headers)
  return seen.at(-1)
}

describe.each(boots)('openTelemetry, a server that began to listen in a span %s', (state) => {
  it.each([false, true])(
    "continues a caller's trace, and starts a root without a caller; requestSpans: %s",
    async (requestSpans) => {
      const { tracer, spans } = setUpSdk({ requestSpans })
      const seen: (TraceContext | undefined)[] = []
      const [server, span] = await boot(tracer, state, () =>
        shop((app) => {
          app.get('/', () => {
            seen.push(traceContext.get())
            return 'ok'
          })
        }),
      )

      const continued = await request(server, seen, traceparent())
      const own = await request(server, seen)

      const { traceId } = span.spanContext()
      expect(continued).toMatchObject({ traceId: caller.traceId, parentSpanId: caller.spanId })
      expect(own?.traceId).not.toBe(traceId)
      const requests = spans().filter(({ kind }) => kind === api.SpanKind.SERVER)
      expect(requests.map(({ parentSpanContext }) => parentSpanContext?.spanId)).toEqual(
        requestSpans ? [caller.spanId, undefined] : [],
      )
    },
  )

  it('takes the span that OpenTelemetry has started for a request', async () => {
    const { tracer, spans } = setUpSdk()
    instrumentHttp()
    const seen: (TraceContext | undefined)[] = []
    const [server] = await boot(tracer, state, () =>
      shop((app) => {
        app.get('/', () => {
          seen.push(traceContext.get())
          return 'ok'
        })
      }),
    )

    const trace = await request(server, seen, traceparent())

    const idsOfServers = () =>
      spans()
        .filter(({ kind }) => kind === api.SpanKind.SERVER)
        .map((span) => span.spanContext().spanId)
    await expect.poll(idsOfServers).toEqual([trace?.spanId])
  })

  it("continues a caller's trace if the instrumentation ignores the request", async () => {
    const { tracer, spans } = setUpSdk()
    instrumentHttp({ ignoreIncomingRequestHook: () => true })
    const seen: (TraceContext | undefined)[] = []
    const [server] = await boot(tracer, state, () =>
      shop((app) => {
        app.get('/', () => {
          seen.push(traceContext.get())
          return 'ok'
        })
      }),
    )

    const trace = await request(server, seen)

    // The client is instrumented, too: the caller is its span.
    const clients = () => spans().filter(({ kind }) => kind === api.SpanKind.CLIENT)
    await expect.poll(() => clients().map((span) => span.spanContext().spanId)).toEqual([trace?.parentSpanId])
    expect(trace?.traceId).toBe(clients()[0]?.spanContext().traceId)
    expect(spans().filter(({ kind }) => kind === api.SpanKind.SERVER)).toEqual([])
  })
})

describe('openTelemetry, a job', () => {
  it('from a timer that was set in a span starts a root if the span has ended', async () => {
    const { tracer, span } = setUpSdk({ requestSpans: true })
    const ran = Promise.withResolvers<TraceContext | undefined>()
    await inSpan(tracer, 'boot', () => {
      setTimeout(() => runInScope(() => ran.resolve(traceContext.get()), { name: 'job' }), 1)
    })

    const trace = await ran.promise

    expect(trace?.traceId).not.toBe(span('boot').spanContext().traceId)
    expect(span('job').parentSpanContext).toBeUndefined()
  })

  it('that runs in a span is a part of it', async () => {
    const { tracer } = setUpSdk()

    await inSpan(tracer, 'cron', (span) => {
      const trace = runInScope(() => traceContext.get())
      expect(trace?.spanId).toBe(span.spanContext().spanId)
    })
  })
})
