import assert from 'node:assert/strict'
import { type MicroRow, ofFloor, ours, type Work } from '../harness/row.ts'
import { bySpawn } from './spawners.ts'
import { type SpawnerSide, timed } from './tasks.ts'

const byStartActiveSpan: SpawnerSide = {
  name: 'startActiveSpan by hand',
  role: 'floor',
  async make(tasks) {
    const { api, tracer } = await sdk([])
    return {
      spawn(fn) {
        void tracer.startActiveSpan('work', async (span) => {
          try {
            await fn()
          } catch (error) {
            span.recordException(error as Error)
            span.setStatus({ code: api.SpanStatusCode.ERROR, message: String(error) })
            tasks.report(error)
          } finally {
            span.end()
          }
        })
      },
      see: () => nameOf(api.trace.getActiveSpan()),
      owned: undefined,
      within: (loop) => tracer.startActiveSpan('request', loop),
    }
  },
}

const byBridge: SpawnerSide = {
  name: ours,
  role: 'ours',
  async make(tasks) {
    const { runInScope, spawn, TaskGroup } = await import('logical-context')
    const { openTelemetry } = await import('logical-context/bridges/opentelemetry')
    const bridge = openTelemetry({ api: await import('@opentelemetry/api') })
    const { api, tracer } = await sdk([bridge.spanProcessor])
    const group = new TaskGroup({ onError: tasks.report })
    return {
      spawn: (fn) => void spawn(fn, { name: 'work' }),
      see: () => nameOf(api.trace.getActiveSpan()),
      owned: () => group.tasks.length,
      within: (loop) => tracer.startActiveSpan('request', () => runInScope(loop, { group })),
    }
  },
}

export const otelTask: MicroRow = {
  kind: 'micro',
  name: 'otel-task',
  title: 'A spawned task with a span',
  about:
    'A task with one await runs in a child span of the request. The span records a failure and ends with the ' +
    'task; the SDK drops it. By hand, a task has no owner, and no context besides the span.',
  sides: [
    timed(byStartActiveSpan, 'work'),
    timed(byBridge, 'work'),
    timed({ ...bySpawn, name: `${ours}, no bridge`, role: 'reference' }, 'ann'),
  ],
  targets: [ofFloor(1.5)],
}

export const otelScope: MicroRow = {
  kind: 'micro',
  name: 'otel-scope',
  title: 'A scope with a span',
  about: 'A scope opens with its own span, a function runs in both, and both end.',
  sides: [
    {
      name: 'startActiveSpan by hand',
      role: 'floor',
      async setup() {
        const { api, tracer, ended } = await sdk([])
        return scopes(
          ended,
          (fn) =>
            tracer.startActiveSpan('scope', (span) => {
              try {
                return fn()
              } finally {
                span.end()
              }
            }),
          () => nameOf(api.trace.getActiveSpan()),
        )
      },
    },
    {
      name: ours,
      role: 'ours',
      async setup() {
        const { runInScope } = await import('logical-context')
        const { openTelemetry } = await import('logical-context/bridges/opentelemetry')
        const bridge = openTelemetry({ api: await import('@opentelemetry/api'), requestSpans: true })
        const { api, ended } = await sdk([bridge.spanProcessor])
        return scopes(
          ended,
          (fn) => runInScope(fn, { name: 'scope' }),
          () => nameOf(api.trace.getActiveSpan()),
        )
      },
    },
  ],
  targets: [ofFloor(1.5)],
}

/** OpenTelemetry's SDK with a processor that counts the spans that end and drops them. */
async function sdk(processors: readonly object[]) {
  const api = await import('@opentelemetry/api')
  const { AsyncLocalStorageContextManager } = await import('@opentelemetry/context-async-hooks')
  const { TracerProvider } = await import('@opentelemetry/sdk-trace')
  const ended: { count: number; names: Set<string> } = { count: 0, names: new Set() }
  const counting = {
    onStart() {},
    onEnd(span: { name: string }) {
      ended.count++
      ended.names.add(span.name)
    },
    forceFlush: async () => {},
    shutdown: async () => {},
  }
  api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  api.trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [...processors, counting] as never }))
  return { api, tracer: api.trace.getTracer('bench'), ended }
}

function scopes(
  ended: { count: number; names: ReadonlySet<string> },
  open: (fn: () => unknown) => unknown,
  see: () => unknown,
): Work {
  let runs = 0
  const body = () => ++runs
  return {
    op: () => open(body),
    check() {
      assert.equal(open(see), 'scope')
      assert.equal(open(body), runs)
      assert.equal(ended.count, 2)
      assert.deepEqual([...ended.names], ['scope'])
    },
  }
}

function nameOf(span: unknown): string | undefined {
  return (span as { name?: string } | undefined)?.name
}
