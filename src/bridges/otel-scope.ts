import type { Context, Span } from '@opentelemetry/api'
import type { RequestScope } from '../tasks/request-scope.ts'
import type { UnitObservation } from '../tasks/unit-observer.ts'
import { recordFailure } from './otel-failure.ts'
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
    this.#span?.updateName(this.#scope.name)
    const route = this.#scope.facts?.['http.route']
    const metadata = this.#context.getValue(rpcMetadataKey) as { route?: unknown } | undefined
    if (this.#span === undefined && metadata !== undefined && route !== undefined) metadata.route ??= route
  }

  failed(error: unknown): void {
    const span = this.#span
    if (span !== undefined) this.#maker.guard(() => recordFailure(this.#maker.api, span, error))
  }

  ended(): void {
    const span = this.#span
    if (span === undefined) return
    this.#maker.guard(() => {
      this.#tellFacts(span)
      this.#maker.fields.write(span, this.#scope.cell)
      span.end()
    })
  }

  #tellFacts(span: Span): void {
    const { facts = {}, name } = this.#scope
    span.updateName(name)
    span.setAttributes(facts)
    const status = facts['http.response.status_code']
    // A server's own fault; what a client has done wrong is no error of the server's span. HTTP spans, "Status"
    if (typeof status !== 'number' || status < 500) return
    span.setAttribute('error.type', String(status))
    span.setStatus({ code: this.#maker.api.SpanStatusCode.ERROR })
  }
}
