import http from 'node:http'
import { Metadata } from '@grpc/grpc-js'
import { createAdaptorServer } from '@hono/node-server'
import * as api from '@opentelemetry/api'
import express from 'express'
import { Hono } from 'hono'
import Koa from 'koa'
import { newIdentity, type TraceContext, traceContext } from 'logical-context/variables'
import { runInScope } from 'logical-context'
import { logicalContext as inExpress } from 'logical-context/middleware/express'
import { grpcServerInterceptor } from 'logical-context/middleware/grpc'
import { logicalContext as inHono } from 'logical-context/middleware/hono'
import { logicalContext as inKoa } from 'logical-context/middleware/koa'
import { logicalContext as inNodeHttp } from 'logical-context/middleware/node-http'
import { describe, expect, it, onTestFinished } from 'vitest'
import { connectTo, serve as serveGrpc } from '../../clients/grpc-service.ts'
import { listen, urlOf } from '../../contracts/node-server.ts'
import { instrumentHttp } from './instrumentations.ts'
import { inSpan, setUpSdk } from './sdk.ts'
import { caller, shop, type Shop, traceparent } from './shop.ts'

const boots = ['that has ended', 'that has not ended', 'of a unit that is open'] as const

/** Runs `start` in a span; whether the span then ends is in the name of the case. */
async function boot<R>(
  tracer: api.Tracer,
  state: (typeof boots)[number],
  start: () => Promise<R>,
): Promise<readonly [R, api.Span]> {
  if (state === 'of a unit that is open') return bootInUnit(tracer, start)
  return tracer.startActiveSpan('boot', async (span) => {
    const result = await start()
    if (state === 'that has ended') span.end()
    return [result, span] as const
  })
}

/** The unit and its span end with the test. */
async function bootInUnit<R>(tracer: api.Tracer, start: () => Promise<R>): Promise<readonly [R, api.Span]> {
  const booted = Promise.withResolvers<readonly [R, api.Span]>()
  const end = Promise.withResolvers<void>()
  const main = runInScope(
    () =>
      inSpan(tracer, 'boot', async (span) => {
        booted.resolve([await start(), span])
        await end.promise
      }),
    { context: newIdentity() },
  )
  onTestFinished(async () => {
    end.resolve()
    await main
  })
  return booted.promise
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

type Note = () => string
type Call = (headers: http.OutgoingHttpHeaders) => Promise<unknown>

async function callOf(server: http.Server): Promise<Call> {
  onTestFinished(() => void server.close())
  await listen(server)
  const url = urlOf(server)
  return (headers) =>
    new Promise((resolve) =>
      http.get(url, { headers, agent: false }, (response) => response.resume().on('end', resolve)),
    )
}

const servers: [name: string, start: (note: Note) => Promise<Call>][] = [
  [
    'node:http',
    (note) => callOf(http.createServer(inNodeHttp((_request, response: http.ServerResponse) => response.end(note())))),
  ],
  [
    'Express',
    (note) => callOf(http.createServer(express().use(inExpress(), (_, response) => void response.send(note())))),
  ],
  [
    'Koa',
    (note) => {
      const app = new Koa().use(inKoa()).use((ctx) => void (ctx.body = note()))
      const handle = app.callback()
      return callOf(http.createServer((request_, response) => void handle(request_, response)))
    },
  ],
  [
    'Hono',
    (note) => {
      const app = new Hono().use(inHono()).get('/', (c) => c.text(note()))
      return callOf(createAdaptorServer({ fetch: app.fetch }) as http.Server)
    },
  ],
  [
    'gRPC',
    async (note) => {
      const port = await serveGrpc({ unary: (_, callback) => callback(null, note()) }, [grpcServerInterceptor()])
      return (headers) => {
        const metadata = new Metadata()
        for (const [name, value] of Object.entries(headers)) metadata.set(name, String(value))
        return new Promise((resolve) => connectTo(`127.0.0.1:${port}`)['unary']?.('tea', metadata, resolve))
      }
    },
  ],
]

describe.each(servers)(
  'openTelemetry, a server of %s that began to listen in the span of an open unit',
  (_name, start) => {
    it("continues a caller's trace, and starts a root without a caller", async () => {
      const { tracer } = setUpSdk()
      const seen: (TraceContext | undefined)[] = []
      const [call, span] = await bootInUnit(tracer, () =>
        start(() => {
          seen.push(traceContext.get())
          return 'ok'
        }),
      )

      await call({})
      await call(traceparent())

      const [own, continued] = seen
      expect(own?.traceId).toMatch(/^[\da-f]{32}$/)
      expect(own?.traceId).not.toBe(span.spanContext().traceId)
      expect(continued).toMatchObject({ traceId: caller.traceId, parentSpanId: caller.spanId })
    })
  },
)

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
