import type { Context, Span } from '@opentelemetry/api'
import type { UnitAttributes, UnitObservation } from '../../context/bridge.ts'
import type { RequestScope } from '../../tasks/request-scope.ts'
import { recordFailure, typeOfError } from './span-fields.ts'
import type { SpanMaker } from './span-units.ts'

/** Instrumentations put the route here for the one that started the span. The SDK makes its keys by `Symbol.for`. */
export const rpcMetadataKey: symbol = Symbol.for('OpenTelemetry SDK Context Key RPC_METADATA')

/** A request below the span that other code started for it, or with a span of its own. */
export class ScopeObservation implements UnitObservation {
  readonly #scope: RequestScope
  readonly #maker: SpanMaker
  /** The active context when the scope opened: kept until its first run. */
  #outside: Context | undefined
  #context: Context
  /** Undefined if other code started the span. */
  readonly #span: Span | undefined
  #given: Context | undefined
  #attributes: UnitAttributes = {}
  /** The first failure. */
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

  /** Adds what was unknown when the scope opened: the route, and a span that a hook of the framework started since. */
  #begin(outside: Context): void {
    this.#outside = undefined
    const now = this.#given ?? this.#maker.api.context.active()
    if (this.#span === undefined) this.#context = this.#maker.join(this.#scope, now, outside) ?? this.#context
    this.#span?.updateName(this.#name)
    const route = this.#attributes['http.route']
    const metadata = this.#context.getValue(rpcMetadataKey) as { route?: unknown } | undefined
    if (this.#span === undefined && metadata !== undefined && route !== undefined) metadata.route ??= route
  }

  /** Whether the failure is an error of the span is known at the end: with a status below 500 it is not. */
  failed(error: unknown): void {
    if (this.#span !== undefined) this.#failure ??= { error, at: Date.now() }
  }

  ended(): void {
    const span = this.#span
    if (span === undefined) return
    this.#maker.guard(() => {
      this.#writeEnd(span)
      this.#maker.fields.write(span, this.#scope.cell)
    })
    this.#maker.guard(() => span.end())
  }

  #writeEnd(span: Span): void {
    const attributes = this.#attributes
    const { abortReason } = this.#scope
    span.updateName(this.#name)
    span.setAttributes(attributes)
    if (abortReason !== undefined) span.setAttribute('logical_context.abort_reason', typeOfError(abortReason))
    const fault = serverFault(attributes)
    if (fault === false) return
    const { api } = this.#maker
    const failure = this.#failure
    // There was no answer. If the client disconnected, work that stopped because of it is not a failure.
    if (fault === undefined && (failure === undefined || this.#scope.isCancellation(failure.error))) return
    if (failure !== undefined) recordFailure(api, span, failure.error, failure.at)
    else span.setStatus({ code: api.SpanStatusCode.ERROR })
    if (fault !== undefined) span.setAttribute('error.type', fault)
  }

  /** gRPC's conventions name a span after the method, messaging's after the queue, HTTP's after the scope's route. */
  get #name(): string {
    const { 'rpc.method': method, 'messaging.destination.name': queue } = this.#attributes
    return String(method ?? (queue === undefined ? this.#scope.name : `process ${queue}`))
  }
}

/** gRPC's status codes that are the server's fault; the others are the client's. Semantic conventions for gRPC, "Status" */
const faults = new Set<unknown>([
  'UNKNOWN',
  'DEADLINE_EXCEEDED',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
])

/**
 * The `error.type` of a request that failed in the server; false if the answer was good or the client was at fault;
 * undefined if there was no answer. Semantic conventions for HTTP spans, "Status", and for gRPC
 */
function serverFault(attributes: UnitAttributes): string | false | undefined {
  const status = attributes['http.response.status_code'] ?? attributes['rpc.response.status_code']
  if (status === undefined) return undefined
  return (typeof status === 'number' ? status >= 500 : faults.has(status)) && String(status)
}
