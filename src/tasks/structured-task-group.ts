import { CancelledError } from '../errors.ts'
import { CancelScope } from './cancel-scope.ts'
import type { TaskOutcome } from './lifecycle.ts'
import { currentCanceller } from './narrowed-cell.ts'
import type { Task } from './task.ts'
import { TaskGroup, type TaskGroupOptions } from './task-group.ts'

/** Told of each failure that does not only echo a cancellation; of the body's without a task. */
export type OnGroupFailure = (error: unknown, group: StructuredTaskGroup, task: Task | undefined) => unknown

/** A group that ends with the call that has made it, and whose tasks can be cancelled together. */
export class StructuredTaskGroup extends TaskGroup {
  readonly #scope = new CancelScope(currentCanceller())
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
      if (this.#scope.saysCancelled(error)) this.cutOff ??= { error }
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
    if (!task.saysCancelled(error)) return this.#onFailure(error, this, task)
    this.cutOff ??= { error }
    return undefined
  }

  /** @internal */
  override ended(task: Task, outcome: TaskOutcome): void {
    if (outcome === 'withdrawn') this.cutOff ??= { error: undefined }
    super.ended(task, outcome)
  }

  /** @internal */
  protected override owns(task: Task): void {
    task.cancelWith(this.#scope)
  }
}

function tellOwner(error: unknown, task: Task): unknown {
  return (task.group as StructuredTaskGroup).failed(error, task)
}
