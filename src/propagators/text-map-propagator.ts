import { copyText } from '../variables/header-text.ts'
import { isId } from '../variables/hex.ts'
import { flagsFor, knownFlags, type Sampling, type TraceContext } from '../variables/trace-context.ts'
import { Tracestate } from '../variables/tracestate.ts'
import type { CallerTrace } from './trace-format.ts'

/** The part of OpenTelemetry's `TextMapPropagator` that is used here. */
export interface TextMapPropagatorLike {
  fields(): string[]
  extract(context: OtelContextLike, carrier: unknown, getter: TextMapGetterLike): OtelContextLike
  inject(context: OtelContextLike, carrier: unknown, setter: TextMapSetterLike): void
}

/** A `TextMapGetter` of OpenTelemetry. */
export interface TextMapGetterLike {
  keys(carrier: unknown): string[]
  get(carrier: unknown, key: string): string | string[] | undefined
}

/** A `TextMapSetter` of OpenTelemetry. */
export interface TextMapSetterLike {
  set(carrier: unknown, key: string, value: string): void
}

/** OpenTelemetry's `Context`. */
export interface OtelContextLike {
  getValue(key: symbol): unknown
  setValue(key: symbol, value: unknown): OtelContextLike
  deleteValue(key: symbol): OtelContextLike
}

/** The key of the active span in an OpenTelemetry context. The API makes its keys by `Symbol.for`. */
const spanKey: unique symbol = Symbol.for('OpenTelemetry Context Key SPAN') as never

/** An empty OpenTelemetry context. */
export const emptyOtelContext: OtelContextLike = otelContext(new Map())

/** The active span of an OpenTelemetry context, if its ids are valid. */
export function spanOf(context: OtelContextLike): CallerTrace | undefined {
  const span = context.getValue(spanKey) as { spanContext?: () => Partial<OtelSpanContext> } | undefined
  const { traceId, spanId, traceFlags, traceState } = span?.spanContext?.() ?? {}
  if (typeof traceId !== 'string' || traceId.length !== 32 || !isId(traceId, 0, 32)) return undefined
  if (typeof spanId !== 'string' || spanId.length !== 16 || !isId(spanId, 0, 16)) return undefined
  return {
    traceId: copyText(traceId),
    spanId: copyText(spanId),
    flags: Number(traceFlags) & knownFlags,
    state: Tracestate.parse(copyText(traceState?.serialize() ?? '')),
  }
}

/** An OpenTelemetry context whose active span is not recorded. */
export function withSpan(context: OtelContextLike, trace: CallerTrace, isRemote: boolean): OtelContextLike {
  const { traceId, spanId, flags, state = Tracestate.empty } = trace
  const traceState = state.size === 0 ? undefined : traceStateOf(state)
  return context.setValue(
    spanKey,
    unrecordedSpan({ traceId, spanId, traceFlags: flags & knownFlags, traceState, isRemote }),
  )
}

/** The unit's own span, in the form of a caller's span. */
export function ownSpan(trace: TraceContext, sampling: Sampling): CallerTrace {
  const { traceId, spanId, flags, state } = trace
  return { traceId, spanId, flags: flagsFor(flags, sampling), state }
}

interface OtelTraceState {
  get(key: string): string | undefined
  set(key: string, value: string): OtelTraceState
  unset(key: string): OtelTraceState
  serialize(): string
}

interface OtelSpanContext {
  traceId: string
  spanId: string
  traceFlags: number
  traceState: OtelTraceState | undefined
  isRemote: boolean
}

function otelContext(values: ReadonlyMap<symbol, unknown>): OtelContextLike {
  return {
    getValue: (key) => values.get(key),
    setValue: (key, value) => otelContext(new Map(values).set(key, value)),
    deleteValue: (key) => otelContext(new Map([...values].filter(([known]) => known !== key))),
  }
}

function traceStateOf(state: Tracestate): OtelTraceState {
  return {
    get: (key) => state.get(key),
    set: (key, value) => traceStateOf(state.set(key, value)),
    unset: (key) => traceStateOf(state.delete(key)),
    serialize: () => state.toString(),
  }
}

/** It has all methods of OpenTelemetry's `Span`, because code that finds it active can call any of them. */
function unrecordedSpan(context: OtelSpanContext): object {
  const span = {
    spanContext: () => context,
    isRecording: () => false,
    setAttribute: () => span,
    setAttributes: () => span,
    addEvent: () => span,
    addLink: () => span,
    addLinks: () => span,
    setStatus: () => span,
    updateName: () => span,
    end() {},
    recordException() {},
  }
  return span
}
