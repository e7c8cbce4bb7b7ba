import type { Context, Link, Span } from '@opentelemetry/api'
import { policyName } from '../tasks/policy.ts'
import type { Task } from '../tasks/task.ts'
import type { UnitObservation } from '../tasks/lifecycle.ts'
import { currentCell } from '../context/cell.ts'
import { recordFailure } from './otel-failure.ts'
import type { SpanMaker } from './otel-units.ts'

/** A task with a span of its own, which begins with the task's work and not while the task waits for a place. */
export class TaskObservation implements UnitObservation {
  readonly #task: Task
  readonly #maker: SpanMaker
  readonly #links: Link[]
  /** Of the spawner, or of nobody. */
  readonly #context: Context
  #span: Span | undefined
  #begun = false
  /** Of a task that had not begun then. */
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

  /** The span ends here: the process may end before the task does, and then nobody would have seen it. */
  abandoned(error: unknown): void {
    if (this.#begun) this.#finish('abandoned', error)
    else this.#abandonedWith = error
  }

  ended(outcome: 'done' | 'failed' | 'withdrawn', error: unknown): void {
    // What was withdrawn has no span yet; what was abandoned has none any more.
    if (!this.#begun) this.#start()
    if (this.#abandonedWith !== undefined) this.#finish('abandoned', this.#abandonedWith)
    else if (outcome === 'withdrawn' || (outcome === 'failed' && this.#task.isCancellation(error))) {
      this.#finish('cancelled', undefined)
    } else this.#finish(outcome, error)
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
      span.end()
    })
  }
}
