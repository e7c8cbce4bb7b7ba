import { observer } from '../tasks/lifecycle.ts'
import { aBoolean, anyOf, type Checks, checkOptions } from '../options.ts'
import { setBaggageSource } from '../variables/current-baggage.ts'
import { setTraceSource } from '../variables/trace-context.ts'
import { logFieldsChecks, type LogField } from './log-fields.ts'
import type { OpenTelemetryApi } from './otel-api.ts'
import { SharedBaggage } from './otel-baggage.ts'
import { Diagnosis } from './otel-diagnosis.ts'
import { TaskMetrics } from './otel-metrics.ts'
import { type ContextSpanProcessor, SpanFields } from './otel-span-fields.ts'
import { SpanTraces } from './otel-span-traces.ts'
import { writeTraceOnce } from './otel-undici.ts'
import { SpanUnits } from './otel-units.ts'

export type { LogField } from './log-fields.ts'
export type { OpenTelemetryApi } from './otel-api.ts'
export type { ContextSpanProcessor } from './otel-span-fields.ts'

export interface OpenTelemetryOptions {
  /** The API that the SDK is registered with: `import * as api from '@opentelemetry/api'`. */
  api: OpenTelemetryApi
  /** Variables that become attributes of spans, by the attribute's name. Default: none but the request id. */
  fields?: Readonly<Record<string, LogField>>
  /** Whether a request that finds no active span, or another unit that does not, gets one of its own. Default: false. */
  requestSpans?: boolean
  /**
   * Whether the variable `baggage` and the baggage of OpenTelemetry's API are one: what is set on one side is seen on the
   * other. OpenTelemetry's own propagator tells it to every host that is called; ours asks the list of destinations.
   * Default: false.
   */
  baggage?: boolean
}

export interface OpenTelemetryBridge extends Disposable {
  /** For the SDK's `spanProcessors`, first of all: puts the declared fields on the spans that others start in a unit. */
  readonly spanProcessor: ContextSpanProcessor
  /** Ends it: units that open and tasks that are spawned from then on have no spans. */
  stop(): void
}

const checks: Checks = {
  api: anyOf("all of '@opentelemetry/api'", (value) => isApi(value)),
  requestSpans: aBoolean,
  baggage: aBoolean,
  ...logFieldsChecks,
}

/**
 * Joins the units of this process with OpenTelemetry's spans, from here on. A request takes the span that is active when
 * it opens; log lines and outbound headers carry the active span's ids; a spawned task has a span of its own:
 *
 * | policy | span |
 * |---|---|
 * | `inherit`, `{ only }` | a child of the spawner's active span, also when that has ended |
 * | `isolate` | the root of a new trace, with a link to the spawner's span |
 * | `share` | none: the task is part of its spawner's span |
 *
 * Call it once, where the SDK is set up. A wrong set-up is told of in one line through `diag`.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type, for a field that is no variable or a sensitive
 *   one, and if another bridge has not been stopped.
 */
export function openTelemetry(options: OpenTelemetryOptions): OpenTelemetryBridge {
  checkOptions('openTelemetry', options ?? null, checks)
  const { api, fields: declared = {}, requestSpans = false, baggage = false } = options
  const expected = checks['api']?.(api)
  if (expected !== undefined) throw new TypeError(`openTelemetry: option 'api' expected ${expected}, got undefined.`)
  const fields = new SpanFields('openTelemetry', { fields: declared })
  if (observer.current !== undefined) {
    throw new TypeError('openTelemetry: expected to be called once in a process, got a second call before stop().')
  }
  const traces = new SpanTraces(api)
  const metrics = new TaskMetrics(api)
  const sharedBaggage = baggage ? new SharedBaggage(api) : undefined
  const diagnosis = new Diagnosis(api)
  const units = new SpanUnits({ api, fields, traces, diagnosis, metrics, sharedBaggage, requestSpans })
  metrics.resolve()
  observer.current = units
  setTraceSource(traces.read)
  setBaggageSource(sharedBaggage?.read)
  const endWriteTraceOnce = writeTraceOnce()

  const stop = () => {
    if (observer.current !== units) return
    observer.current = undefined
    setTraceSource(undefined)
    setBaggageSource(undefined)
    endWriteTraceOnce()
    metrics.stop()
  }
  return { spanProcessor: fields.processor, stop, [Symbol.dispose]: stop }
}

function isApi(value: unknown): boolean {
  const { context, trace, ROOT_CONTEXT } = (value ?? {}) as Partial<OpenTelemetryApi>
  return [context, trace, ROOT_CONTEXT].every((part) => typeof part === 'object')
}
