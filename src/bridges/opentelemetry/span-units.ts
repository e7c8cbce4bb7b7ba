import type {
  Context,
  Link,
  Span,
  SpanContext,
  SpanKind,
  SpanOptions,
  Tracer,
  TracerProvider,
} from '@opentelemetry/api'
import type { Bridge, UnitAttributes, UnitObservation } from '../../context/bridge.ts'
import { peek } from '../../context/context-var.ts'
import { storage } from '../../context/storage.ts'
import type { RequestScope } from '../../tasks/request-scope.ts'
import { crosses } from '../../tasks/policy.ts'
import type { Task } from '../../tasks/task.ts'
import { type Baggage, baggage } from '../../variables/baggage.ts'
import { message } from '../../variables/message.ts'
import { requestId } from '../../variables/request-id.ts'
import { type TraceContext, traceContext } from '../../variables/trace-context.ts'
import { Annotation } from './annotation.ts'
import type { Diagnosis } from './diagnosis.ts'
import type { OpenTelemetryApi } from './index.ts'
import { rpcMetadataKey, ScopeObservation } from './scope-observation.ts'
import type { SharedBaggage } from './shared-baggage.ts'
import type { SpanFields } from './span-fields.ts'
import type { SpanTraces } from './span-traces.ts'
import type { TaskMetrics } from './task-metrics.ts'
import { TaskObservation, UnrecordedTask } from './task-observation.ts'

/** The part of the bridge that observations of units use. */
export interface SpanMaker {
  readonly api: OpenTelemetryApi
  readonly fields: SpanFields
  /** Starts a span below the one of `context`; it becomes the current unit's place in the trace. */
  start(name: string, options: SpanOptions, context: Context): Span | undefined
  /** `context` below a unit's caller, or, if the unit is not to be recorded, at the unit itself. */
  below(received: TraceContext | undefined, context: Context): Context
  /** Uses a tracer or a span: reports an error that an SDK's processor throws, and does not throw it. */
  guard<R>(use: () => R): R | undefined
  /** Makes the span that is active in a context the scope's place in the trace, unless it was active before. */
  join(scope: RequestScope, context: Context, before: Context): Context | undefined
}

interface SpanUnitsParts {
  readonly api: OpenTelemetryApi
  readonly fields: SpanFields
  readonly traces: SpanTraces
  readonly diagnosis: Diagnosis
  readonly metrics: TaskMetrics
  /** Undefined if the two sides keep their baggage separate. */
  readonly sharedBaggage: SharedBaggage | undefined
  readonly requestSpans: boolean
}

/** Marks a context in which tracing is switched off. The SDK makes its keys by `Symbol.for`. */
const suppressedKey: symbol = Symbol.for('OpenTelemetry SDK Context Key SUPPRESS_TRACING')

/** Starts spans for units, or lets them join active ones. */
export class SpanUnits implements Bridge, SpanMaker {
  readonly api: OpenTelemetryApi
  readonly fields: SpanFields
  /** Undefined if the two sides keep their baggage separate. */
  readonly baggage?: (own: Baggage | undefined) => Baggage | undefined
  readonly #parts: SpanUnitsParts
  readonly #traces: SpanTraces
  /** The spans that are the place of a unit. */
  readonly #taken = new Annotation<Span, true>()
  #provider: TracerProvider | undefined
  #tracer: Tracer | undefined

  constructor(parts: SpanUnitsParts) {
    this.api = parts.api
    this.fields = parts.fields
    this.#parts = parts
    this.#traces = parts.traces
    const { sharedBaggage } = parts
    if (sharedBaggage !== undefined) this.baggage = (own) => sharedBaggage.read(own)
  }

  trace(known: TraceContext | undefined): TraceContext | undefined {
    return this.#traces.read(known)
  }

  suppressed(): boolean {
    return this.api.context.active().getValue(suppressedKey) === true
  }

  opened(scope: RequestScope): UnitObservation | undefined {
    this.#parts.diagnosis.check()
    this.#parts.metrics.resolve()
    const { api } = this
    const received = scope.context.get(traceContext)
    const around = api.context.active()
    const active = this.#traces.localSpan(around)
    if (active !== undefined && this.#isOf(scope, active, around)) {
      return new ScopeObservation(scope, this, this.#joinSpan(scope, active, around), undefined)
    }
    const context = this.below(received, active === undefined ? around : api.trace.deleteSpan(around))
    const span = this.#parts.requestSpans ? this.#startRequest(scope, received, context) : undefined
    if (span !== undefined) this.#taken.set(span, true)
    const inside = this.#ofUnit(span === undefined ? context : api.trace.setSpan(context, span))
    return new ScopeObservation(scope, this, inside, span)
  }

  join(scope: RequestScope, context: Context, before: Context): Context | undefined {
    const span = this.#traces.localSpan(context)
    if (span === undefined || this.api.trace.getSpan(before) === span || this.#taken.get(span) === true)
      return undefined
    return this.#joinSpan(scope, span, context)
  }

  #joinSpan(scope: RequestScope, span: Span, context: Context): Context {
    const received = scope.context.get(traceContext)
    scope.cell.write(traceContext, this.#traces.adopt(span, received, received?.link))
    this.fields.follow(span, scope.cell)
    this.#taken.set(span, true)
    return this.#ofUnit(context)
  }

  /**
   * Whether the active span is the scope's own. A server that starts to listen in a span, and a timer that is set in
   * one, keep that span active for all later work. So the span must not have ended. For a peer's message it must also be
   * the span of a server or a consumer, or below the peer's span, and not the span of another unit, such as the one in
   * which the server began to listen.
   */
  #isOf(scope: RequestScope, span: Span, context: Context): boolean {
    if (hasEnded(span)) return false
    const received = scope.context.get(traceContext)
    const isMessage = received?.parentSpanId !== undefined || scope.context.has(requestId)
    // A job has no message: it is part of the code that runs it.
    if (!isMessage) return true
    if (this.#taken.get(span) === true) return false
    const caller = received?.parentSpanId === undefined ? received?.link : received
    if (caller !== undefined && span.spanContext().traceId === caller.traceId) return true
    const { SERVER, CONSUMER } = this.api.SpanKind
    const { kind } = span as { kind?: SpanKind }
    const metadata = context.getValue(rpcMetadataKey) as { span?: Span } | undefined
    return kind === SERVER || kind === CONSUMER || metadata?.span === span
  }

  spawned(task: Task): UnitObservation | undefined {
    this.#parts.metrics.resolve()
    const { policy } = task
    if (policy === 'share') return undefined
    const { api } = this
    const here = api.context.active()
    // Baggage that is not on the list must not cross, in any context.
    const around = typeof policy === 'string' || crosses(policy, baggage) ? here : this.#ofUnit(here)
    const known = peek(traceContext)
    const active = this.#traces.localSpan(around)?.spanContext()
    const spawner = active ?? this.#identityOf(known)
    if (policy === 'isolate') {
      // Only the request's identity is kept; suppressed tracing stays suppressed.
      const suppressed = around.getValue(suppressedKey)
      const context = suppressed === undefined ? api.ROOT_CONTEXT : api.ROOT_CONTEXT.setValue(suppressedKey, suppressed)
      const isDenied = active === undefined ? known?.sampling === 'deny' : (active.traceFlags & 1) === 0
      if (spawner !== undefined && isDenied) return new UnrecordedTask(this, this.#ofUnit(context), spawner)
      return new TaskObservation(task, this, this.#ofUnit(context), linksTo(spawner))
    }
    if (active !== undefined || spawner === undefined) {
      return new TaskObservation(task, this, around, [])
    }
    // An undecided trace must not look like a decision against recording.
    if (known?.sampling === 'defer')
      return new TaskObservation(task, this, api.trace.deleteSpan(around), linksTo(spawner))
    return new TaskObservation(task, this, api.trace.setSpanContext(around, spawner), [])
  }

  /** A span of the message's creation. Engines deliver it later, to attempts with spans below this one. */
  sent(attributes: UnitAttributes, isolated: boolean, known: TraceContext): TraceContext | undefined {
    if (!this.#parts.requestSpans) return undefined
    const { api } = this
    const around = api.context.active()
    const active = this.#traces.localSpan(around)?.spanContext()
    const sender = active ?? (isolated ? known.link && { ...known.link, traceFlags: 0 } : this.#identityOf(known))
    if (known.sampling === 'deny' && (active === undefined || (active.traceFlags & 1) === 0)) return undefined
    const context = isolated
      ? api.ROOT_CONTEXT
      : active === undefined && sender !== undefined && known.sampling !== 'defer'
        ? api.trace.setSpanContext(around, sender)
        : around
    return this.guard(() => {
      const name = `create ${attributes['messaging.destination.name']}`
      const options = { kind: api.SpanKind.PRODUCER, attributes, links: isolated ? linksTo(sender) : [] }
      const span = this.#currentTracer().startSpan(name, options, context)
      span.end()
      if (!api.isSpanContextValid(span.spanContext())) return undefined
      return this.#traces.adopt(span, known, isolated ? known.link : undefined)
    })
  }

  /** A span that marks a call. Nothing says when the call ends, so it ends at once. */
  called(known: TraceContext, host: string): TraceContext | undefined {
    const { api } = this
    const around = api.context.active()
    const span = this.#traces.localSpan(around)
    const isActive = span?.spanContext().spanId === known.spanId
    // Such a span of an instrumentation is that of this call.
    if (isActive && (span as { kind?: SpanKind }).kind === api.SpanKind.CLIENT && !hasEnded(span)) return known
    // Without a span, a tracer would record a root of its own.
    if (!isActive && (known.sampling === 'defer' || known.sampling === 'deny')) return undefined
    const context = isActive
      ? around
      : api.trace.setSpanContext(around, this.#traces.contextOf(known, known.spanId, false))
    return this.guard(() => {
      const attributes = host === '' ? {} : { 'server.address': host }
      const name = host === '' ? 'call' : `call ${host}`
      const own = this.#currentTracer().startSpan(name, { kind: api.SpanKind.CLIENT, attributes }, context)
      own.end()
      const { traceId, spanId } = own.spanContext()
      if (traceId !== known.traceId || spanId === known.spanId) return undefined
      return this.#traces.adopt(own, known, undefined)
    })
  }

  start(name: string, options: SpanOptions, context: Context): Span | undefined {
    return this.guard(() => {
      const parent = this.api.trace.getSpanContext(context)
      const span = this.#currentTracer().startSpan(name, options, context)
      const spanContext = span.spanContext()
      // Without an SDK, or where tracing is suppressed, there is no new span.
      if (!this.api.isSpanContextValid(spanContext) || spanContext.spanId === parent?.spanId) return undefined
      const known = peek(traceContext)
      traceContext.set(this.#traces.adopt(span, known, known?.link))
      return span
    })
  }

  guard<R>(use: () => R): R | undefined {
    try {
      return use()
    } catch (error) {
      this.#parts.diagnosis.failed(error)
      return undefined
    }
  }

  #startRequest(scope: RequestScope, received: TraceContext | undefined, context: Context): Span | undefined {
    // A trace that begins here with a decision against recording has no span.
    if (received?.sampling === 'deny' && received.parentSpanId === undefined) return undefined
    const { SERVER, INTERNAL, CONSUMER } = this.api.SpanKind
    // A peer's request has a request id; a unit of this program has none.
    const unitKind = scope.context.has(requestId) ? SERVER : INTERNAL
    const kind = scope.context.has(message) ? CONSUMER : unitKind
    const senders = [
      ...(received?.link === undefined ? [] : [received.link]),
      ...(scope.context.get(message)?.links ?? []),
    ]
    const links: Link[] = senders.map((sender) => ({ context: { ...sender, traceFlags: 0, isRemote: true } }))
    return storage.run(scope.cell, () => this.start(scope.name, { kind, links }, context))
  }

  below(received: TraceContext | undefined, context: Context): Context {
    const { trace } = this.api
    if (received === undefined) return context
    if (received.parentSpanId !== undefined) {
      return trace.setSpanContext(context, this.#traces.contextOf(received, received.parentSpanId, true))
    }
    if (received.sampling !== 'deny') return context
    return trace.setSpanContext(context, this.#traces.contextOf(received, received.spanId, false))
  }

  /** Ignores a peer's baggage that an instrumentation extracted: the `trust` option decides about it. */
  #ofUnit(context: Context): Context {
    const { sharedBaggage } = this.#parts
    return sharedBaggage === undefined ? context : sharedBaggage.live(context)
  }

  #identityOf(trace: TraceContext | undefined): SpanContext | undefined {
    return trace && this.#traces.contextOf(trace, trace.spanId, false)
  }

  /** A provider may be registered late, or replaced. */
  #currentTracer(): Tracer {
    const provider = this.api.trace.getTracerProvider()
    if (this.#tracer === undefined || provider !== this.#provider) {
      this.#provider = provider
      this.#tracer = provider.getTracer('logical-context')
    }
    return this.#tracer
  }
}

function linksTo(span: SpanContext | undefined): Link[] {
  return span === undefined ? [] : [{ context: span }]
}

/** The API has no method for it. A span that a sampler dropped never records, and counts as one that has not ended. */
function hasEnded(span: Span): boolean {
  return (span as { ended?: boolean }).ended ?? (!span.isRecording() && span.constructor.name !== 'NonRecordingSpan')
}
