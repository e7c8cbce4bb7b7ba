import type { Context, Link, Span, SpanContext, SpanOptions, Tracer, TracerProvider } from '@opentelemetry/api'
import { storage } from '../context/storage.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import type { Task } from '../tasks/task.ts'
import type { UnitObservation, UnitObserver } from '../tasks/lifecycle.ts'
import { baggage } from '../variables/baggage.ts'
import { requestId } from '../variables/request-id.ts'
import { type TraceContext, traceContext } from '../variables/trace-context.ts'
import type { OpenTelemetryApi } from './otel-api.ts'
import type { SharedBaggage } from './otel-baggage.ts'
import type { Diagnosis } from './otel-diagnosis.ts'
import type { TaskMetrics } from './otel-metrics.ts'
import { ScopeObservation } from './otel-scope.ts'
import type { SpanFields } from './otel-span-fields.ts'
import { type SpanTraces, traceHere } from './otel-span-traces.ts'
import { TaskObservation } from './otel-task.ts'
import { UnrecordedTask } from './otel-unrecorded-task.ts'

/** What stands around units needs of the bridge. */
export interface SpanMaker {
  readonly api: OpenTelemetryApi
  readonly fields: SpanFields
  /** Starts a span below the one of `context`, in the current unit, which stands at it from then on. */
  start(name: string, options: SpanOptions, context: Context): Span | undefined
  /** `context` below a unit's caller, or at the unit itself where that is not to be recorded. */
  below(told: TraceContext | undefined, context: Context): Context
  /** Uses a tracer or a span: what an SDK's processor throws is told of, and does not reach the work. */
  guard<R>(use: () => R): R | undefined
  /** Puts a scope at the span that is active in a context, unless it was active before. */
  join(scope: RequestScope, context: Context, before: Context | undefined): Context | undefined
}

interface SpanUnitsParts {
  readonly api: OpenTelemetryApi
  readonly fields: SpanFields
  readonly traces: SpanTraces
  readonly diagnosis: Diagnosis
  readonly metrics: TaskMetrics
  /** Undefined where the two sides keep their baggage apart. */
  readonly sharedBaggage: SharedBaggage | undefined
  readonly requestSpans: boolean
}

/** Marks a context whose tracing is switched off. The SDK makes its keys by `Symbol.for`. */
const suppressedKey: symbol = Symbol.for('OpenTelemetry SDK Context Key SUPPRESS_TRACING')

/** Gives units their spans. */
export class SpanUnits implements UnitObserver, SpanMaker {
  readonly api: OpenTelemetryApi
  readonly fields: SpanFields
  readonly #parts: SpanUnitsParts
  readonly #traces: SpanTraces
  #provider: TracerProvider | undefined
  #tracer: Tracer | undefined

  constructor(parts: SpanUnitsParts) {
    this.api = parts.api
    this.fields = parts.fields
    this.#parts = parts
    this.#traces = parts.traces
  }

  opened(scope: RequestScope): UnitObservation | undefined {
    this.#parts.diagnosis.check()
    this.#parts.metrics.resolve()
    const { api } = this
    const told = scope.context.get(traceContext)
    const around = api.context.active()
    // A request inside a request starts fresh: below its own caller, not below the span of the one outside.
    const inner = storage.getStore() !== undefined && told?.parentSpanId !== undefined
    const joined = inner ? undefined : this.join(scope, around, undefined)
    if (joined !== undefined) return new ScopeObservation(scope, this, joined, undefined)
    const context = this.below(told, around)
    const span = this.#parts.requestSpans ? this.#startRequest(scope, told, context) : undefined
    const inside = this.#ofUnit(span === undefined ? context : api.trace.setSpan(context, span))
    return new ScopeObservation(scope, this, inside, span)
  }

  join(scope: RequestScope, context: Context, before: Context | undefined): Context | undefined {
    const span = this.#traces.localSpan(context)
    if (span === undefined || (before !== undefined && this.api.trace.getSpan(before) === span)) return undefined
    const told = scope.context.get(traceContext)
    scope.cell.write(traceContext, this.#traces.adopt(span, told, told?.link))
    this.fields.follow(span, scope.cell)
    return this.#ofUnit(context)
  }

  spawned(task: Task): UnitObservation | undefined {
    this.#parts.metrics.resolve()
    const { policy } = task
    if (policy === 'share') return undefined
    const { api } = this
    const here = api.context.active()
    // What is not on the list does not cross, in whichever context it is.
    const around = typeof policy === 'string' || policy.only.includes(baggage) ? here : this.#ofUnit(here)
    const known = traceHere()
    const active = this.#traces.localSpan(around)?.spanContext()
    const spawner = active ?? this.#identityOf(known)
    if (policy === 'isolate') {
      // Nothing of the request is kept but its identity; what is not to be traced stays so.
      const suppressed = around.getValue(suppressedKey)
      const context = suppressed === undefined ? api.ROOT_CONTEXT : api.ROOT_CONTEXT.setValue(suppressedKey, suppressed)
      const isDenied = active === undefined ? known?.sampling === 'deny' : (active.traceFlags & 1) === 0
      if (spawner !== undefined && isDenied) return new UnrecordedTask(this, this.#ofUnit(context), spawner)
      return new TaskObservation(task, this, this.#ofUnit(context), linksTo(spawner))
    }
    if (active !== undefined || spawner === undefined) {
      return new TaskObservation(task, this, around, [])
    }
    // Where nobody has decided yet whether to record the trace, it must not count as a decision against it.
    if (known?.sampling === 'defer')
      return new TaskObservation(task, this, api.trace.deleteSpan(around), linksTo(spawner))
    return new TaskObservation(task, this, api.trace.setSpanContext(around, spawner), [])
  }

  start(name: string, options: SpanOptions, context: Context): Span | undefined {
    return this.guard(() => {
      const parent = this.api.trace.getSpanContext(context)
      const span = this.#currentTracer().startSpan(name, options, context)
      const spanContext = span.spanContext()
      // Without an SDK, or where tracing is suppressed, there is no new span.
      if (!this.api.isSpanContextValid(spanContext) || spanContext.spanId === parent?.spanId) return undefined
      const known = traceHere()
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

  #startRequest(scope: RequestScope, told: TraceContext | undefined, context: Context): Span | undefined {
    // The decision against a trace that begins here: there is no span that could be asked.
    if (told?.sampling === 'deny' && told.parentSpanId === undefined) return undefined
    const { SERVER, INTERNAL } = this.api.SpanKind
    // What a peer has asked for has a request id; a job of our own has none.
    const kind = scope.context.has(requestId) ? SERVER : INTERNAL
    const links: Link[] = told?.link === undefined ? [] : linksTo({ ...told.link, traceFlags: 0, isRemote: true })
    // A path may hold anything; the name of the route is known when the scope is run.
    const name = scope.name.split(' ', 1)[0] ?? scope.name
    return storage.run(scope.cell, () => this.start(name, { kind, links }, context))
  }

  below(told: TraceContext | undefined, context: Context): Context {
    const { trace } = this.api
    if (told === undefined) return context
    if (told.parentSpanId !== undefined) {
      return trace.setSpanContext(context, this.#traces.contextOf(told, told.parentSpanId, true))
    }
    if (told.sampling !== 'deny') return context
    return trace.setSpanContext(context, this.#traces.contextOf(told, told.spanId, false))
  }

  /** A peer's baggage that an instrumentation has extracted is not taken: that is the trust setting's business. */
  #ofUnit(context: Context): Context {
    const { sharedBaggage } = this.#parts
    return sharedBaggage === undefined ? context : sharedBaggage.live(context)
  }

  #identityOf(trace: TraceContext | undefined): SpanContext | undefined {
    return trace && this.#traces.contextOf(trace, trace.spanId, false)
  }

  /** A provider may be registered late, or another one instead. */
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
