import type * as otel from '@opentelemetry/api'
import { bridge } from '../../context/bridge.ts'
import { aBoolean, anyOf, type Checks, checkOptions } from '../../options.ts'
import { aFieldList, type LogField } from '../log-fields.ts'
import { Diagnosis } from './diagnosis.ts'
import { SharedBaggage } from './shared-baggage.ts'
import { type ContextSpanProcessor, SpanFields } from './span-fields.ts'
import { SpanTraces } from './span-traces.ts'
import { SpanUnits } from './span-units.ts'
import { TaskMetrics } from './task-metrics.ts'
import { writeTraceOnce } from './write-trace-once.ts'

export type { LogField } from '../log-fields.ts'
export type { ContextSpanProcessor } from './span-fields.ts'

/** The whole namespace that `import * as api from '@opentelemetry/api'` returns. */
export type OpenTelemetryApi = typeof otel

/** Options of `openTelemetry`. */
export interface OpenTelemetryOptions {
  /** The API that the SDK is registered with: `import * as api from '@opentelemetry/api'`. */
  api: OpenTelemetryApi
  /** Variables that become attributes of spans, by the attribute's name. Default: only the request id. */
  fields?: Readonly<Record<string, LogField>>
  /** Whether a request, or another unit, gets a span of its own if it finds no active span. Default: false. */
  requestSpans?: boolean
  /**
   * Whether the variable `baggage` and the baggage of OpenTelemetry's API are the same: each side reads what the other
   * sets. OpenTelemetry's own propagator sends it to every host; ours checks the list of destinations. Default: false.
   */
  baggage?: boolean
}

/** The bridge, while it is on. */
export interface OpenTelemetryBridge extends Disposable {
  /** Put it first in the SDK's `spanProcessors`: it writes the declared fields on the spans that start in a unit. */
  readonly spanProcessor: ContextSpanProcessor
  /** Ends the bridge: later units and tasks have no spans. */
  stop(): void
}

const anApi = anyOf("all of '@opentelemetry/api'", (value) => isApi(value))

const checks: Checks = {
  api: anApi,
  requestSpans: aBoolean,
  baggage: aBoolean,
  fields: aFieldList,
}

/**
 * Joins the units of this process with OpenTelemetry's spans. A request takes the span that is active when it opens; log
 * lines and outbound headers carry the active span's ids; a spawned task has a span of its own:
 *
 * | policy | span |
 * |---|---|
 * | `inherit`, `{ only }` | a child of the spawner's active span, also if that span has ended |
 * | `isolate` | the root of a new trace, with a link to the spawner's span |
 * | `share` | none: the task is part of its spawner's span |
 *
 * Call it once, where the SDK is set up. It reports a wrong set-up in one line through `diag`.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type, if a field is not a variable or is sensitive, or if
 *   another bridge was not stopped.
 */
export function openTelemetry(options: OpenTelemetryOptions): OpenTelemetryBridge {
  const checked = checkOptions('openTelemetry', options ?? null, checks)
  const { api, fields: declared = {}, requestSpans = false, baggage = false } = checked
  if (api === undefined) {
    throw new TypeError(`openTelemetry: option 'api' expected ${anApi.expected}, got undefined.`)
  }
  const fields = new SpanFields('openTelemetry', { fields: declared })
  if (bridge.current !== undefined) {
    throw new TypeError('openTelemetry: expected to be called once in a process, got a second call before stop().')
  }
  const traces = new SpanTraces(api)
  const metrics = new TaskMetrics(api)
  const sharedBaggage = baggage ? new SharedBaggage(api) : undefined
  const diagnosis = new Diagnosis(api)
  const units = new SpanUnits({ api, fields, traces, diagnosis, metrics, sharedBaggage, requestSpans })
  metrics.resolve()
  bridge.current = units
  const endWriteTraceOnce = writeTraceOnce()

  const stop = () => {
    if (bridge.current !== units) return
    bridge.current = undefined
    endWriteTraceOnce()
    metrics.stop()
  }
  return { spanProcessor: fields.processor, stop, [Symbol.dispose]: stop }
}

function isApi(value: unknown): boolean {
  const { context, trace, ROOT_CONTEXT } = (value ?? {}) as Partial<OpenTelemetryApi>
  return [context, trace, ROOT_CONTEXT].every((part) => typeof part === 'object')
}
