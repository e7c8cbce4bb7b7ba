import { CancelledError } from '../errors.ts'
import { aString, type Checks, checkOptions, show } from '../options.ts'
import { CancelScope, currentCancelScope } from './cancel-scope.ts'
import type { TaskOutcome } from './lifecycle.ts'
import type { Task } from './task.ts'
import { TaskGroup, type TaskGroupOptions } from './task-group.ts'
import { limitChecks, type TaskLimits } from './task-limits.ts'

export interface WithTaskGroupOptions extends TaskLimits {
  /** For errors and reports. Default: the body's name, or `'withTaskGroup'`. */
  name?: string
}

const checks: Checks = { name: aString, ...limitChecks }

/**
 * Runs `body` with a group for tasks that end before this call does. They may spawn more tasks into it; after its end
 * that throws. Resolves with the body's value.
 *
 * | | |
 * |---|---|
 * | values | each task inherits; the body shares the caller's |
 * | writes | a task's are its own; the body's are seen by the caller |
 * | cancellation | the first failure aborts `group.signal` and all tasks' signals, and so does what cancels the caller |
 * | failure | when all have ended, one `AggregateError` with every failure, but without those that only say "aborted" |
 *
 * A task with an `onError` of its own fails alone. Where the caller's cancellation has cut work off, its reason is
 * thrown.
 *
 * @throws {AggregateError} if a task or the body has failed.
 * @throws {TypeError} if `body` is no function, or for an option that is unknown or of the wrong type.
 */
export async function withTaskGroup<T>(
  body: (group: StructuredTaskGroup) => T | PromiseLike<T>,
  options: WithTaskGroupOptions = {},
): Promise<T> {
  if (typeof body !== 'function') throw new TypeError(`withTaskGroup: expected a function, got ${show(body)}.`)
  checkOptions('withTaskGroup', options, checks)
  const { name = body.name || 'withTaskGroup', ...limits } = options
  const failures = new Failures()
  const group = new StructuredTaskGroup({ name, ...limits }, failures.take)
  const value = await group.run(() => body(group))
  if (failures.errors.length > 0) throw failures.in(name)
  if (group.aborted && group.cutOff !== undefined) throw group.cutOffReason
  return value as T
}

/** Told of each failure that does not only echo a cancellation; of the body's without a task. */
export type OnGroupFailure = (error: unknown, group: StructuredTaskGroup, task: Task | undefined) => unknown

/** A group that ends with the call that has made it, and whose tasks can be cancelled together. */
export class StructuredTaskGroup extends TaskGroup {
  readonly #scope = new CancelScope(currentCancelScope())
  readonly #onFailure: OnGroupFailure
  /** @internal What the first has failed with that was cut off by a cancellation. */
  cutOff: { readonly error: unknown } | undefined = undefined

  /** @internal Use `withTaskGroup`. */
  constructor(options: TaskGroupOptions, onFailure: OnGroupFailure) {
    super({ policy: 'inherit', ...options, onError: tellOwner })
    this.#onFailure = onFailure
  }

  /** Aborts with the first failure, and with the work that the group is a part of. Costs nothing until it is read. */
  get signal(): AbortSignal {
    return this.#scope.signal
  }

  /** @internal */
  get aborted(): boolean {
    return this.#scope.aborted
  }

  /** @internal Tells all tasks, and the body, to stop. */
  cancel(why: string, cause?: unknown): void {
    if (this.aborted) return
    const what = `The work of '${this.name}' was cancelled, because ${why}`
    this.#scope.abort(new CancelledError(what, 'Stop: nobody needs its result any more.', { cause }))
  }

  /** @internal Runs `body` as the caller's own code, under the group's signal. Leaves when no task is left. */
  async run<T>(body: () => T | PromiseLike<T>): Promise<T | undefined> {
    try {
      return await this.#scope.run(body)
    } catch (error) {
      if (this.#scope.isCancellation(error)) this.cutOff ??= { error }
      else this.#onFailure(error, this, undefined)
      return undefined
    } finally {
      while (this.tasks.size > 0) await this.idle()
      this.close()
      this.#scope.end()
    }
  }

  /** @internal What a call fails with that was cut off: the reason for that, if it is known. */
  get cutOffReason(): unknown {
    return this.aborted ? this.#scope.reason : this.cutOff?.error
  }

  /** @internal */
  failed(error: unknown, task: Task): unknown {
    if (!task.isCancellation(error)) return this.#onFailure(error, this, task)
    this.cutOff ??= { error }
    return undefined
  }

  /** @internal */
  override ended(task: Task, outcome: TaskOutcome): void {
    if (outcome === 'withdrawn') this.cutOff ??= { error: undefined }
    super.ended(task, outcome)
  }

  /** @internal */
  protected override onSpawn(task: Task): void {
    task.cancelWith(this.#scope)
  }
}

function tellOwner(error: unknown, task: Task): unknown {
  return (task.group as StructuredTaskGroup).failed(error, task)
}

/** The failures of a group; one that reaches it on two ways counts once. */
export class Failures {
  readonly #errors = new Set<unknown>()

  get errors(): unknown[] {
    return Array.from(this.#errors)
  }

  /** Keeps the failure and cancels the rest of the group. */
  readonly take: OnGroupFailure = (error, group, task) => {
    this.#errors.add(error)
    group.cancel(task === undefined ? 'its body has failed' : `the task '${task.name}' has failed`, error)
  };

  in(name: string): AggregateError {
    const { errors } = this
    const [first] = errors
    const message = first instanceof Error ? first.message : String(first)
    return new AggregateError(errors, `${errors.length} failed in '${name}', see 'errors'. The first: ${message}`)
  }
}
