import * as api from '@opentelemetry/api'
import Fastify from 'fastify'
import { bind, ContextVar, current, isolateGenerator, run, runInScope, spawn } from 'logical-context'
import { contextLogger, pinoMixin } from 'logical-context/bridges/pino'
import { inject } from 'logical-context/clients/inject'
import logicalContext from 'logical-context/middleware/fastify'
import { b3 } from 'logical-context/propagators'
import { TraceContext, traceContext } from 'logical-context/variables'
import pino from 'pino'
import { describe, expect, it, onTestFinished } from 'vitest'
import { instrumentHttp } from './instrumentations.ts'
import { inSpan, type Sdk, setUpSdk, tree } from './sdk.ts'
import { caller, type Line, sealed, shop, traceparent } from './shop.ts'

const tenant = new ContextVar<string>('tenant')

/** What goes out from here. */
function outbound(): Record<string, string> {
  const headers: Record<string, string> = {}
  inject(headers)
  return headers
}

function traceparentOf({ traceId, spanId, traceFlags }: api.SpanContext): string {
  return `00-${traceId}-${spanId}-0${traceFlags}`
}

describe('openTelemetry, requests', () => {
  it('takes the span that OpenTelemetry has started for a request', async () => {
    const { spans } = setUpSdk()
    instrumentHttp()
    const seen: unknown[] = []
    const { get, lines } = await shop((app) => {
      app.get('/orders/:id', (request) => {
        seen.push(traceContext.get(), api.trace.getActiveSpan()?.spanContext())
        request.log.info('handler')
        return outbound()
      })
    })

    await get('/orders/7?q=1', traceparent())

    const server = spans().find(({ kind }) => kind === api.SpanKind.SERVER)
    const { traceId, spanId } = server?.spanContext() ?? {}
    expect(seen).toMatchObject([
      { traceId, spanId, parentSpanId: server?.parentSpanContext?.spanId },
      { traceId, spanId },
    ])
    expect(lines.filter(({ msg }) => msg !== undefined && msg !== 'listening')).not.toHaveLength(0)
    for (const line of lines.filter((known) => 'reqId' in known)) {
      expect(line).toMatchObject({ trace_id: traceId, span_id: spanId, trace_flags: '01' })
    }
    expect(server?.name).toBe('GET /orders/:id')
    expect(server?.attributes['http.route']).toBe('/orders/:id')
  })

  it('starts a span for a request that has none, with requestSpans', async () => {
    const { span, tracer, spans } = setUpSdk({ requestSpans: true, fields: { tenant } })
    const { get, lines } = await shop((app) => {
      app.get('/orders/:id', async (request) => {
        tenant.set('acme')
        await inSpan(tracer, 'query', () => request.log.info('in the query'))
        return outbound()
      })
    })

    await get('/orders/7?q=1', traceparent())

    const request = span('GET /orders/:id')
    expect(request.kind).toBe(api.SpanKind.SERVER)
    expect(request.parentSpanContext).toMatchObject({ ...caller, isRemote: true })
    expect(request.attributes).toMatchObject({
      'http.request.method': 'GET',
      'http.route': '/orders/:id',
      'url.path': '/orders/7',
      'url.scheme': 'http',
      'http.response.status_code': 200,
      'logical_context.request_id': expect.any(String),
      tenant: 'acme',
    })
    expect(request.status).toEqual({ code: api.SpanStatusCode.UNSET })
    expect(tree(spans())['query']).toEqual({ parent: 'GET /orders/:id' })
    expect(lines.find(({ msg }) => msg === 'incoming request')?.['span_id']).toBe(request.spanContext().spanId)
    expect(lines.find(({ msg }) => msg === 'in the query')?.['span_id']).toBe(span('query').spanContext().spanId)
    expect(lines.find(({ msg }) => msg === 'request completed')?.['span_id']).toBe(request.spanContext().spanId)
  })

  it('links to a caller whose trace is not continued', async () => {
    const { span } = setUpSdk({ requestSpans: true })
    const { get } = await shop((app) => app.get('/', () => 'ok'), {
      trust: () => ({ trace: 'restart', values: false }),
    })

    await get('/', traceparent())

    expect(span('GET /').parentSpanContext).toBeUndefined()
    expect(span('GET /').links.map(({ context }) => context)).toMatchObject([caller])
    expect(span('GET /').spanContext().traceId).not.toBe(caller.traceId)
  })

  it('makes one span where OpenTelemetry has started one already', async () => {
    const { spans } = setUpSdk({ requestSpans: true })
    instrumentHttp()
    const { get } = await shop((app) => app.get('/', () => 'ok'))

    await get('/')

    expect(spans().filter(({ kind }) => kind === api.SpanKind.SERVER)).toHaveLength(1)
  })

  it('writes the values that the unit has at its end on a span that OpenTelemetry has started', async () => {
    const { spans } = setUpSdk({ fields: { tenant } })
    instrumentHttp()
    const { get } = await shop((app) => {
      app.get('/', () => {
        tenant.set('acme')
        return 'ok'
      })
    })

    await get('/')

    expect(spans().find(({ kind }) => kind === api.SpanKind.SERVER)?.attributes).toMatchObject({ tenant: 'acme' })
  })

  it('keeps the span in every place that keeps the values', async () => {
    const { tracer, spans } = setUpSdk({ requestSpans: true })
    const places: string[] = []
    const note = (place: string) => {
      tracer.startSpan(place).end()
      places.push(place)
    }
    const { get } = await shop((app) => {
      app.addHook('preHandler', async () => note('preHandler'))
      app.addHook('onSend', async () => note('onSend'))
      app.addHook('onResponse', async () => note('onResponse'))
      app.get('/', async (request, reply) => {
        request.raw.on('close', () => note('request close'))
        reply.raw.on('finish', () => note('finish'))
        setTimeout(
          bind(() => note('bound')),
          1,
        )
        const generator = isolateGenerator(function* () {
          note('generator')
          yield 1
        })
        for (const _ of generator()) run(current(), () => note('run'))
        await new Promise((resolve) => setTimeout(resolve, 5))
        return 'ok'
      })
    })

    await get('/')

    expect(places.length).toBeGreaterThan(6)
    for (const place of places) expect(tree(spans())[place]).toEqual({ parent: 'GET /' })
  })
})

describe('openTelemetry, other units', () => {
  it('starts a span for a job, if an option is set, and marks its failure', async () => {
    const { span } = setUpSdk({ requestSpans: true })

    await expect(runInScope(async () => Promise.reject(new RangeError('no')), { name: 'nightly job' })).rejects.toThrow(
      'no',
    )
    runInScope(() => {}, { name: 'quick job' })

    expect(span('nightly job').kind).toBe(api.SpanKind.INTERNAL)
    expect(span('nightly job').status).toEqual({ code: api.SpanStatusCode.ERROR, message: 'no' })
    expect(span('quick job').status).toEqual({ code: api.SpanStatusCode.UNSET })
  })

  it('starts a request inside a request below its own caller', async () => {
    const { span } = setUpSdk({ requestSpans: true })
    const app = Fastify()
    await app.register(logicalContext)
    onTestFinished(() => app.close())
    app.get('/inner', () => 'ok')
    app.get('/outer', () => app.inject({ url: '/inner', headers: traceparent() as Record<string, string> }))

    const end = sealed(2)

    await app.inject('/outer')
    await end

    expect(span('GET /inner').parentSpanContext?.spanId).toBe(caller.spanId)
    expect(span('GET /outer').spanContext().traceId).not.toBe(caller.traceId)
  })
})

describe('openTelemetry, the active span', () => {
  it('changes nothing about what set() reaches', async () => {
    const { tracer } = setUpSdk()

    await runInScope(async () => {
      await inSpan(tracer, 'outer', async () => {
        tenant.set('in the span')
        await Promise.resolve()
        await inSpan(tracer, 'inner', () => tenant.set('in the inner span'))
      })

      expect(tenant.get()).toBe('in the inner span')
    })
  })

  it('is on the lines and in the headers of the block in which it is active, and of no other', async () => {
    const { tracer } = setUpSdk()
    const lines: Line[] = []
    const stream = { write: (line: string) => void lines.push(JSON.parse(line) as Line) }
    const loggers = [contextLogger(pino({}, stream)), pino({ mixin: pinoMixin() }, stream)]
    const expected: unknown[] = []
    const note = (span: api.Span) => {
      for (const logger of loggers) {
        logger.info('line')
        expected.push(span.spanContext().spanId)
      }
      expect(outbound()['traceparent']).toBe(traceparentOf(span.spanContext()))
    }

    await runInScope(() =>
      inSpan(tracer, 'request', async (request) => {
        note(request)
        await inSpan(tracer, 'query', async (query) => {
          note(query)
          await Promise.resolve()
          note(query)
        })
        note(request)
      }),
    )

    expect(lines.map((line) => line['span_id'])).toEqual(expected)
  })

  it('keeps the debug flag of B3', async () => {
    const { tracer } = setUpSdk()
    const log = contextLogger(pino({}, { write() {} }))
    const headers: Record<string, string> = {}
    const above = api.trace.setSpanContext(api.ROOT_CONTEXT, { ...caller, traceFlags: 1, isRemote: true })

    await api.context.with(above, () =>
      runInScope(() => {
        traceContext.set(new TraceContext({ ...caller, sampling: 'debug' }))
        return inSpan(tracer, 'query', () => {
          log.info('line')
          inject.with({ propagators: [b3()] })(headers)
        })
      }),
    )

    expect(headers['b3']).toMatch(new RegExp(`^${caller.traceId}-[0-9a-f]{16}-d`))
  })

  it('is nothing to the context of another unit', async () => {
    const { tracer } = setUpSdk()
    const trace = new TraceContext({ flags: 1, ...caller })
    const other = runInScope(() => {
      traceContext.set(trace)
      return current()
    })
    const headers: Record<string, string> = {}

    await runInScope(() => inSpan(tracer, 'request', () => inject(headers, { context: other })))

    expect(headers['traceparent']).toBe(`00-${caller.traceId}-${caller.spanId}-01`)
  })

  it('leaves lines and headers at the unit after the bridge has been stopped', async () => {
    const { tracer, bridge }: Sdk = setUpSdk()

    await runInScope(() =>
      inSpan(tracer, 'request', () => {
        traceContext.set(new TraceContext({ flags: 1, ...caller }))
        bridge.stop()

        expect(outbound()['traceparent']).toBe(`00-${caller.traceId}-${caller.spanId}-01`)
        expect(spawn(() => {}, { name: 'task' }).observation).toBeUndefined()
      }),
    )
  })
})
