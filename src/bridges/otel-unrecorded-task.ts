import type { Context, SpanContext } from '@opentelemetry/api'
import type { UnitObservation } from '../tasks/lifecycle.ts'
import { TraceContext, traceContext } from '../variables/trace-context.ts'
import { traceHere } from './otel-span-traces.ts'
import type { SpanMaker } from './otel-units.ts'

/** An isolated task of a spawner that is not recorded: a trace of its own without spans, which says so to all it calls. */
export class UnrecordedTask implements UnitObservation {
  readonly #maker: SpanMaker
  readonly #context: Context
  readonly #spawner: SpanContext

  constructor(maker: SpanMaker, context: Context, spawner: SpanContext) {
    this.#maker = maker
    this.#context = context
    this.#spawner = spawner
  }

  around<R>(work: () => R): R {
    let own = traceHere()
    if (own === undefined) {
      // The spawner stands at a span of somebody else's, and had no trace of ours to hand on.
      const { traceId, spanId } = this.#spawner
      own = new TraceContext({ link: { traceId, spanId }, sampling: 'deny' })
      traceContext.set(own)
    }
    return this.#maker.api.context.with(this.#maker.below(own, this.#context), work)
  }

  ended(): void {}
}
