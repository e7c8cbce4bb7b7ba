import type { Context, Span, SpanContext, TraceState } from '@opentelemetry/api'
import { peek } from '../../context/context-var.ts'
import { randomFlag, type SpanLink, TraceContext, traceContext } from '../../variables/trace-context.ts'
import { Tracestate } from '../../variables/tracestate.ts'
import { Annotation } from './annotation.ts'
import type { OpenTelemetryApi } from './index.ts'

/** Converts a tracer's spans to our trace contexts, and back. */
export class SpanTraces {
  readonly #api: OpenTelemetryApi
  /** One object per span: code that kept it compares by identity to see that nothing changed. */
  readonly #known = new Annotation<Span, TraceContext>()

  constructor(api: OpenTelemetryApi) {
    this.#api = api
  }

  /** The trace of the active span if it is one of this process, else `known`, the unit's. */
  read(known: TraceContext | undefined): TraceContext | undefined {
    const span = this.localSpan(this.#api.context.active())
    return span === undefined ? known : this.#of(span)
  }

  /** The span that is active in a context. Not a caller's span, which is above ours, and none without an identity. */
  localSpan(context: Context): Span | undefined {
    const span = this.#api.trace.getSpan(context)
    if (span === undefined || this.#known.get(span) !== undefined) return span
    const spanContext = span.spanContext()
    return spanContext.isRemote !== true && this.#api.isSpanContextValid(spanContext) ? span : undefined
  }

  /** Makes `span` the place in the trace of a unit whose trace was `known` before. */
  adopt(span: Span, known: TraceContext | undefined, link: SpanLink | undefined): TraceContext {
    const { traceId, spanId, traceFlags, traceState } = span.spanContext()
    const same = known?.traceId === traceId ? known : undefined
    const trace = new TraceContext({
      traceId,
      spanId,
      parentSpanId: parentOf(span) ?? same?.parentSpanId,
      // A tracer has one flag and no word for debug: the rest stays with the trace that has it.
      flags: traceFlags | ((same?.flags ?? 0) & randomFlag),
      sampling: same?.sampling === 'debug' && (traceFlags & 1) === 1 ? 'debug' : undefined,
      state: traceState instanceof SharedState ? traceState.own : Tracestate.parse(traceState?.serialize() ?? ''),
      link: link?.traceId === traceId ? undefined : link,
    })
    this.#known.set(span, trace)
    return trace
  }

  #of(span: Span): TraceContext {
    return this.#known.get(span) ?? this.adopt(span, peek(traceContext), undefined)
  }

  /** The identity of a span for a tracer. */
  contextOf(trace: TraceContext, spanId: string, isRemote: boolean): SpanContext {
    const { traceId, flags, state } = trace
    const identity = { traceId, spanId, traceFlags: flags & 1, isRemote }
    return state.size === 0 ? identity : { ...identity, traceState: new SharedState(state, this.#api) }
  }
}

/** A list of members that a tracer passes on from a span's parent, mostly without a look at it. */
class SharedState implements TraceState {
  readonly own: Tracestate
  readonly #api: OpenTelemetryApi

  constructor(own: Tracestate, api: OpenTelemetryApi) {
    this.own = own
    this.#api = api
  }

  get(key: string): string | undefined {
    return this.own.get(key)
  }

  set(key: string, value: string): TraceState {
    return this.#theirs().set(key, value)
  }

  unset(key: string): TraceState {
    return this.#theirs().unset(key)
  }

  serialize(): string {
    return this.own.toString()
  }

  #theirs(): TraceState {
    return this.#api.createTraceState(this.serialize())
  }
}

/** The SDK's spans have the context of their parent; the API has no method for it. */
function parentOf(span: Span): string | undefined {
  return (span as { parentSpanContext?: SpanContext }).parentSpanContext?.spanId
}
