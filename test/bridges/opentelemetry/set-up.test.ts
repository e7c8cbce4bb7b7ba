import * as api from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { ContextVar, runInScope, spawn } from 'logical-context'
import { openTelemetry, type OpenTelemetryOptions } from 'logical-context/bridges/opentelemetry'
import { inject } from 'logical-context/clients/inject'
import { TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it, onTestFinished } from 'vitest'
import { upstream } from '../../clients/upstream.ts'
import { runScript } from '../../flow/run-script.ts'
import { inSpan, setUpSdk, unregister } from './sdk.ts'

const ids = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' }

/** What is said through `diag` during a test. */
function diagLines(): string[] {
  const lines: string[] = []
  const say = (line: string) => void lines.push(line)
  api.diag.setLogger({ error: say, warn: say, info() {}, debug() {}, verbose() {} }, { suppressOverrideMessage: true })
  return lines
}

/** The bridge alone, without an SDK. */
function bridgeOnly(options: Partial<OpenTelemetryOptions> = {}): void {
  const bridge = openTelemetry({ api, ...options })
  onTestFinished(() => {
    bridge.stop()
    unregister()
  })
}

describe('openTelemetry, its options', () => {
  it.each<[name: string, options: unknown, message: string]>([
    ['nothing', undefined, 'expected an options object, got null'],
    ['no api', {}, "option 'api' expected all of '@opentelemetry/api', got undefined"],
    ['a part of the api', { api: { trace: api.trace } }, "option 'api' expected all of '@opentelemetry/api'"],
    ['an unknown option', { api, span: true }, "unknown option 'span'"],
    ['an option of loggers', { api, keys: { trace_id: 'id' } }, "unknown option 'keys'"],
    ['a text for a boolean', { api, requestSpans: 'yes' }, "option 'requestSpans' expected a boolean"],
    ['a field that is not a variable', { api, fields: { a: 1 } }, "field 'a': expected a ContextVar"],
    [
      'a sensitive field',
      { api, fields: { a: new ContextVar('password', { sensitive: true }) } },
      "got the sensitive 'password'",
    ],
  ])('refuses %s', (_name, options, message) => {
    expect(() => openTelemetry(options as OpenTelemetryOptions)).toThrow(message)
    expect(runInScope(() => spawn(() => {})).observation).toBeUndefined()
  })

  it('refuses a second bridge, until the first is stopped', () => {
    const { bridge } = setUpSdk()

    expect(() => openTelemetry({ api })).toThrow('expected to be called once in a process')
    bridge.stop()
    openTelemetry({ api })[Symbol.dispose]()
  })
})

describe('openTelemetry without an SDK', () => {
  it('passes the ids on as without the bridge', async () => {
    bridgeOnly({ requestSpans: true })
    const told: string[] = []
    const tell = () => {
      const headers: Record<string, string> = {}
      inject(headers)
      told.push(headers['traceparent'] ?? '')
    }

    await runInScope(async () => {
      traceContext.set(new TraceContext({ ...ids, flags: 1 }))
      tell()
      await spawn(() => {
        tell()
        expect(traceContext.get()?.parentSpanId).toBe(ids.spanId)
      }).result()
      await spawn(() => expect(traceContext.get()?.link).toEqual(ids), { policy: 'isolate' }).result()
    })

    expect(told[0]).toBe(`00-${ids.traceId}-${ids.spanId}-01`)
    expect(told[1]).toMatch(new RegExp(`^00-${ids.traceId}-(?!${ids.spanId})[0-9a-f]{16}-01$`))
  })
})

describe('the package without the bridge', () => {
  it('loads nothing of the API, not even with the file of the bridge', async () => {
    const { stdout, stderr } = await runScript(`
      import { registerHooks } from 'node:module'
      const seen = []
      registerHooks({ resolve: (name, context, next) => (seen.push(name), next(name, context)) })
      await import('logical-context')
      await import('logical-context/bridges/opentelemetry')
      await import('logical-context/bridges/pino')
      await import('logical-context/propagators')
      console.log(seen.length > 50, seen.filter((name) => name.includes('@opentelemetry')).length)
    `)

    expect(stderr).toBe('')
    expect(stdout).toBe('true 0\n')
  })
})

describe('openTelemetry, a wrong set-up', () => {
  it('is silent about a right one', async () => {
    const lines = diagLines()
    const { tracer } = setUpSdk()

    await runInScope(() => inSpan(tracer, 'request', () => spawn(() => {}).result()))

    expect(lines).toEqual([])
  })

  it('logs once that there is no SDK, and once that it was set up late', () => {
    const lines = diagLines()
    bridgeOnly()

    runInScope(() => {})
    runInScope(() => {})
    api.trace.setGlobalTracerProvider(new TracerProvider())
    runInScope(() => {})
    runInScope(() => {})

    expect(lines).toEqual([
      expect.stringContaining('no tracer provider is registered'),
      expect.stringContaining('a tracer provider was registered late'),
    ])
  })

  it('uses a provider that came late', async () => {
    bridgeOnly()
    runInScope(() => {})
    const started: string[] = []
    const onStart = ({ name }: { name: string }) => void started.push(name)
    const nothing = () => Promise.resolve()

    api.trace.setGlobalTracerProvider(
      new TracerProvider({ spanProcessors: [{ onStart, onEnd() {}, forceFlush: nothing, shutdown: nothing }] }),
    )
    await runInScope(() => spawn(() => {}, { name: 'task' }).result())

    expect(started).toEqual(['task'])
  })

  it('logs that there is no context manager', () => {
    const lines = diagLines()
    bridgeOnly()
    api.trace.setGlobalTracerProvider(new TracerProvider())

    runInScope(() => {})

    expect(lines).toEqual([expect.stringContaining('no context manager is registered')])
  })

  it('logs that two copies of the API exist', () => {
    const lines = diagLines()
    const proxy = new api.ProxyTracerProvider()
    const trace = Object.assign(Object.create(api.trace) as typeof api.trace, { getTracerProvider: () => proxy })
    bridgeOnly({ api: { ...api, trace } })
    api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
    api.trace.setGlobalTracerProvider(new TracerProvider())

    runInScope(() => {})

    expect(lines).toEqual([expect.stringContaining('another copy than the one the SDK is registered with')])
  })
})

describe('openTelemetry, over OTLP', () => {
  it('shows the policies to a collector', async () => {
    const collector = await upstream((_, response) => response.setHeader('content-type', 'application/json').end('{}'))
    const bridge = openTelemetry({ api, requestSpans: true })
    const exporter = new OTLPTraceExporter({ url: `${collector.url}/v1/traces` })
    const provider = new TracerProvider({ spanProcessors: [new BatchSpanProcessor({ exporter })] })
    api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
    api.trace.setGlobalTracerProvider(provider)
    onTestFinished(() => {
      bridge.stop()
      unregister()
    })

    await runInScope(
      async () => {
        await spawn(() => {}, { name: 'send-receipt' }).result()
        await spawn(() => {}, { name: 'reindex', policy: 'isolate' }).result()
      },
      { name: 'order' },
    )
    await provider.shutdown()

    const spans = collector.received.flatMap(({ body }) => spansOf(body))
    const byName = Object.fromEntries(spans.map((span) => [span.name, span]))
    expect(Object.keys(byName)).toEqual(['send-receipt', 'reindex', 'order'])
    const { order, reindex } = byName
    expect(byName['send-receipt']?.parentSpanId).toBe(order?.spanId)
    expect(reindex?.parentSpanId).toBeUndefined()
    expect(reindex?.links).toMatchObject([{ traceId: order?.traceId, spanId: order?.spanId }])
  })
})

interface OtlpSpan {
  name: string
  traceId: string
  spanId: string
  parentSpanId?: string
  links: { traceId: string; spanId: string }[]
}

function spansOf(body: string): OtlpSpan[] {
  const { resourceSpans } = JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: OtlpSpan[] }[] }[] }
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
}
