import type { Context, Link, Span, SpanContext } from '@opentelemetry/api'
import type { UnitObservation } from '../../context/bridge.ts'
import { currentCell } from '../../context/cell.ts'
import { peek } from '../../context/context-var.ts'
import { policyName } from '../../tasks/policy.ts'
import type { Task } from '../../tasks/task.ts'
import { TraceContext, traceContext } from '../../variables/trace-context.ts'
import { recordFailure } from './span-fields.ts'
import type { SpanMaker } from './span-units.ts'

/** A task with a span of its own, which begins with the task's work and not while the task waits for a slot. */
export class TaskObservation implements UnitObservation {
  readonly #task: Task
  readonly #maker: SpanMaker
  readonly #links: Link[]
  /** The spawner's context, or the root context. */
  readonly #context: Context
  #span: Span | undefined
  #begun = false
  /** The error of a task that was abandoned before it began. */
  #abandonedWith: unknown

  constructor(task: Task, maker: SpanMaker, context: Context, links: Link[]) {
    this.#task = task
    this.#maker = maker
    this.#context = context
    this.#links = links
  }

  around<R>(work: () => R): R {
    const { api } = this.#maker
    const span = this.#start()
    const context = span === undefined ? this.#context : api.trace.setSpan(this.#context, span)
    return context === api.context.active() ? work() : api.context.with(context, work)
  }

  /** Ends the span now: the process may end before the task does, and the span would be lost. */
  abandoned(error: unknown): void {
    if (this.#begun) this.#finish('abandoned', error)
    else this.#abandonedWith = error
  }

  ended(outcome: 'done' | 'failed' | 'cancelled' | 'withdrawn', error: unknown): void {
    // A withdrawn task has no span yet; the span of an abandoned task has ended.
    if (!this.#begun) this.#start()
    if (this.#abandonedWith !== undefined) this.#finish('abandoned', this.#abandonedWith)
    else if (outcome === 'withdrawn') this.#finish('cancelled', undefined)
    else this.#finish(outcome, error)
  }

  #start(): Span | undefined {
    this.#begun = true
    const { id, name, policy, group } = this.#task
    const attributes = {
      'logical_context.task.id': id,
      'logical_context.task.policy': policyName(policy),
      'logical_context.task.group': group.name,
    }
    const kind = this.#maker.api.SpanKind.INTERNAL
    this.#span = this.#maker.start(name, { kind, attributes, links: this.#links }, this.#context)
    return this.#span
  }

  #finish(outcome: 'done' | 'failed' | 'cancelled' | 'abandoned', error: unknown): void {
    const span = this.#span
    if (span === undefined) return
    this.#span = undefined
    const cell = currentCell()
    this.#maker.guard(() => {
      span.setAttribute('logical_context.task.outcome', outcome)
      if (outcome === 'failed' || outcome === 'abandoned') recordFailure(this.#maker.api, span, error)
      if (cell?.unit === this.#task) this.#maker.fields.write(span, cell)
    })
    this.#maker.guard(() => span.end())
  }
}

/** An isolated task of a spawner that is not recorded: a new trace without spans, whose calls carry that decision. */
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
    let own = peek(traceContext)
    if (own === undefined) {
      // The spawner had no trace of ours: it was in a span that other code started.
      const { traceId, spanId } = this.#spawner
      own = new TraceContext({ link: { traceId, spanId }, sampling: 'deny' })
      traceContext.set(own)
    }
    return this.#maker.api.context.with(this.#maker.below(own, this.#context), work)
  }

  ended(): void {}
}
