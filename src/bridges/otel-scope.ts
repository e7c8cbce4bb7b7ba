import type { Context, Span } from '@opentelemetry/api'
import type { RequestScope } from '../tasks/request-scope.ts'
import type { UnitAttributes, UnitObservation } from '../tasks/lifecycle.ts'
import { recordFailure, typeOfError } from './otel-failure.ts'
import { serverFault } from './otel-server-fault.ts'
import type { SpanMaker } from './otel-units.ts'

/** Where instrumentations leave the route for the one that has started the span. The SDK makes its keys by `Symbol.for`. */
const rpcMetadataKey: symbol = Symbol.for('OpenTelemetry SDK Context Key RPC_METADATA')

/** A request below the span that somebody else has started for it, or with one of its own. */
export class ScopeObservation implements UnitObservation {
  readonly #scope: RequestScope
  readonly #maker: SpanMaker
  /** Where the scope was opened: kept until its first run. */
  #outside: Context | undefined
  #context: Context
  /** Undefined where the span is somebody else's. */
  readonly #span: Span | undefined
  #given: Context | undefined
  #attributes: UnitAttributes = {}
  /** The first one. */
  #failure: { readonly error: unknown; readonly at: number } | undefined

  constructor(scope: RequestScope, maker: SpanMaker, context: Context, span: Span | undefined) {
    this.#scope = scope
    this.#maker = maker
    this.#outside = maker.api.context.active()
    this.#context = context
    this.#span = span
  }

  standsIn(context: unknown): void {
    this.#given = context as Context
  }

  setAttributes(attributes: UnitAttributes): void {
    this.#attributes = attributes
  }

  around<R>(work: () => R): R {
    const { context } = this.#maker.api
    if (this.#outside !== undefined) this.#begin(this.#outside)
    return context.active() === this.#context ? work() : context.with(this.#context, work)
  }

  /** What was not known at the opening: the route, and a span that a hook of the framework has started since. */
  #begin(outside: Context): void {
    this.#outside = undefined
    const now = this.#given ?? this.#maker.api.context.active()
    if (this.#span === undefined) this.#context = this.#maker.join(this.#scope, now, outside) ?? this.#context
    this.#span?.updateName(this.#name)
    const route = this.#attributes['http.route']
    const metadata = this.#context.getValue(rpcMetadataKey) as { route?: unknown } | undefined
    if (this.#span === undefined && metadata !== undefined && route !== undefined) metadata.route ??= route
  }

  /** Whether it is an error of the span's shows at the end: an error with an answer below 500 is none. */
  failed(error: unknown): void {
    if (this.#span !== undefined) this.#failure ??= { error, at: Date.now() }
  }

  ended(): void {
    const span = this.#span
    if (span === undefined) return
    this.#maker.guard(() => {
      this.#tellEnd(span)
      this.#maker.fields.write(span, this.#scope.cell)
      span.end()
    })
  }

  #tellEnd(span: Span): void {
    const attributes = this.#attributes
    const { abortReason } = this.#scope
    span.updateName(this.#name)
    span.setAttributes(attributes)
    if (abortReason !== undefined) span.setAttribute('logical_context.abort_reason', typeOfError(abortReason))
    const fault = serverFault(attributes)
    if (fault === false) return
    const { api } = this.#maker
    const failure = this.#failure
    // Without an answer: the caller may have gone, and then it is no failure that the work stopped.
    if (fault === undefined && (failure === undefined || this.#scope.isCancellation(failure.error))) return
    if (failure !== undefined) recordFailure(api, span, failure.error, failure.at)
    else span.setStatus({ code: api.SpanStatusCode.ERROR })
    if (fault !== undefined) span.setAttribute('error.type', fault)
  }

  /** gRPC's conventions name a span after the method; HTTP's after the route, which is in the scope's name. */
  get #name(): string {
    return String(this.#attributes['rpc.method'] ?? this.#scope.name)
  }
}
