import { CancelledError } from '../errors.ts'
import { aString, checkFunction, type Checks, checkOptions, show } from '../options.ts'
import { CancelScope } from './cancel-scope.ts'
import type { TaskOutcome } from './lifecycle.ts'
import type { Task } from './task.ts'
import { TaskGroup, type TaskGroupOptions } from './task-group.ts'
import { limitChecks, type TaskLimits } from './task-limits.ts'
import { callingUnit, currentCancelScope, type Unit } from './unit.ts'

/** Options of `withTaskGroup`. */
export interface WithTaskGroupOptions extends TaskLimits {
  /** For errors and reports. Default: the body's name, or `'withTaskGroup'`. */
  name?: string
}

const checks: Checks = { name: aString, ...limitChecks }

/**
 * Runs `body` with a group whose tasks end before this call does. Tasks may spawn more tasks into it; after the call a
 * spawn throws. Resolves with the value of the body.
 *
 * | | |
 * |---|---|
 * | values | each task inherits; the body shares the caller's |
 * | writes | a task's writes are its own; the caller sees the body's |
 * | cancellation | the first failure aborts `group.signal` and the signals of all tasks; so does what cancels the caller |
 * | failure | when all have ended, one `AggregateError` of all failures, without errors that only report the cancellation |
 *
 * A task with its own `onError` does not affect the group. If the caller's cancellation stopped work, its reason is
 * thrown.
 *
 * @throws {AggregateError} if a task or the body failed.
 * @throws {TypeError} if `body` is not a function, or for an option that is unknown or of the wrong type.
 */
export async function withTaskGroup<T>(
  body: (group: StructuredTaskGroup) => T | PromiseLike<T>,
  options?: WithTaskGroupOptions,
): Promise<T> {
  checkFunction('withTaskGroup', body)
  const { name = body.name || 'withTaskGroup', ...limits } = checkOptions('withTaskGroup', options, checks)
  const failures = new Failures()
  const group = new StructuredTaskGroup({ name, ...limits }, failures.take)
  const value = await group.run(() => body(group))
  if (failures.errors.length > 0) throw failures.in(name)
  if (group.aborted && group.stopped !== undefined) throw group.stopReason
  return value as T
}

/** Called for each failure that is not a cancellation; without a task for a failure of the body. */
export type OnGroupFailure = (error: unknown, group: StructuredTaskGroup, task: Task | undefined) => unknown

/** A group that ends with the call that created it, and whose tasks are cancelled together. */
export class StructuredTaskGroup extends TaskGroup {
  readonly #scope = new CancelScope(currentCancelScope())
  readonly #onFailure: OnGroupFailure
  #caller: Unit | undefined = callingUnit()
  /** @internal The first error of work that a cancellation stopped. */
  stopped: { readonly error: unknown } | undefined = undefined

  /** @internal Use `withTaskGroup`. */
  constructor(options: TaskGroupOptions, onFailure: OnGroupFailure) {
    super({ policy: 'inherit', ...options, onError: reportToOwner })
    this.#onFailure = onFailure
  }

  /** Aborts with the first failure, and with the work that the group is part of. Costs nothing until it is read. */
  get signal(): AbortSignal {
    return this.#scope.signal
  }

  /** @internal */
  get aborted(): boolean {
    return this.#scope.aborted
  }

  /** @internal */
  override get caller(): Unit | undefined {
    return this.#caller
  }

  /** @internal Aborts the body and all tasks. */
  cancel(why: string, cause?: unknown): void {
    if (this.aborted) return
    const what = `The work of '${this.name}' was cancelled, because ${why}`
    this.#scope.abort(new CancelledError(what, 'Stop: no code uses its result.', { cause }))
  }

  /** @internal Runs `body` as the caller's own code, under the group's signal. Resolves when no task is left. */
  async run<T>(body: () => T | PromiseLike<T>): Promise<T | undefined> {
    try {
      return await this.#scope.run(body)
    } catch (error) {
      if (this.#scope.isCancellation(error)) this.stopped ??= { error }
      else this.#onFailure(error, this, undefined)
      return undefined
    } finally {
      while (this.inFlight.size > 0) await this.inFlight.idle()
      this.close()
      this.#scope.end()
      this.#caller = undefined
    }
  }

  /** @internal What a stopped call rejects with: the reason of the cancellation, if it is known. */
  get stopReason(): unknown {
    return this.aborted ? this.#scope.reason : this.stopped?.error
  }

  /** @internal */
  failed(error: unknown, task: Task): unknown {
    return this.#onFailure(error, this, task)
  }

  /** @internal */
  override ended(task: Task, outcome: TaskOutcome, settled: unknown): void {
    if (outcome === 'withdrawn') this.stopped ??= { error: undefined }
    if (outcome === 'cancelled') this.stopped ??= { error: settled }
    super.ended(task, outcome, settled)
  }

  /** @internal */
  protected override onSpawn(task: Task): void {
    task.cancelWith(this.#scope)
  }
}

function reportToOwner(error: unknown, task: Task): unknown {
  return (task.group as StructuredTaskGroup).failed(error, task)
}

/** The failures of a group. An error that reaches it twice counts once. */
export class Failures {
  readonly #errors = new Set<unknown>()

  get errors(): unknown[] {
    return Array.from(this.#errors)
  }

  /** Keeps the failure and cancels the rest of the group. */
  readonly take: OnGroupFailure = (error, group, task) => {
    this.#errors.add(error)
    group.cancel(task === undefined ? 'its body failed' : `the task '${task.name}' failed`, error)
  };

  in(name: string): AggregateError {
    const { errors } = this
    const message = messageOf(errors[0])
    return new AggregateError(errors, `${errors.length} failed in '${name}', see 'errors'. The first: ${message}`)
  }
}

/** Any value can be thrown, also one whose properties throw when they are read. */
function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : show(error)
  } catch {
    return show(error)
  }
}
