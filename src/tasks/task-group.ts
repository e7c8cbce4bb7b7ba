import { storage } from '../context/storage.ts'
import type { Unit } from '../context/unit.ts'
import { GroupClosedError } from '../errors.ts'
import { aFunction, anyOf, aString, type Checks, checkOptions, show } from '../options.ts'
import { drain, drainChecks, type DrainOptions, type DrainReport } from './drain.ts'
import { LateUseWatch } from './late-use.ts'
import { aPolicy, type Policy } from './policy.ts'
import type { RequestScope } from './request-scope.ts'
import { type OnTaskError, Task } from './task.ts'
import { settingsOf, type UnitSettings } from './unit-settings.ts'

export interface TaskGroupOptions {
  /** For reports. Default: `'tasks'`. */
  name?: string
  /** For the tasks that name none themselves. Default: the route's or the plugin's, else `inherit`. */
  policy?: Policy
  /** Told of each failure of a task that has no `onError` of its own. Default: prints it to stderr. */
  onError?: OnTaskError
}

export interface SpawnOptions {
  /** For logs and reports. Default: the function's name, or `'task'`. */
  name?: string
  /** What the task sees of its spawner. Default: the group's, the route's or the plugin's policy, else `inherit`. */
  policy?: Policy
  /** Aborts the task's signal when the request is aborted, or with this signal. Default: only the group does. */
  cancelWith?: 'request' | AbortSignal
  /** Told of the task's failure, in the task's own context. Default: the group's. */
  onError?: OnTaskError
}

const groupChecks: Checks = { name: aString, policy: aPolicy, onError: aFunction }
const spawnChecks: Checks = {
  ...groupChecks,
  cancelWith: anyOf("'request' or an AbortSignal", (value) => value === 'request' || value instanceof AbortSignal),
}

/** Tasks that may outlive the call that spawned them, but never the group. One that fails does not touch the others. */
export class TaskGroup {
  readonly name: string
  readonly policy: Policy | undefined
  readonly #onError: OnTaskError
  readonly #tasks = new Set<Task>()
  /** For tasks spawned outside any unit. */
  readonly #settings: UnitSettings
  #closed = false
  #endedCount = 0
  #idle: PromiseWithResolvers<void> | undefined

  /** @throws {TypeError} for an option that is unknown or of the wrong type. */
  constructor(options: TaskGroupOptions = {}) {
    checkOptions('TaskGroup', options, groupChecks)
    const { name = 'tasks', policy, onError = printFailure } = options
    this.name = name
    this.policy = policy
    this.#onError = onError
    this.#settings = { group: this, policy: undefined, lateUse: new LateUseWatch() }
  }

  /** The tasks that have not ended, in the order of their spawning. */
  get tasks(): ReadonlySet<Task> {
    return this.#tasks
  }

  /** @internal How many tasks have ended so far. */
  get endedCount(): number {
    return this.#endedCount
  }

  /** @internal Resolves when there is no task, maybe only for a moment. */
  idle(): Promise<void> {
    return (this.#idle ??= Promise.withResolvers<void>()).promise
  }

  /**
   * Starts `fn` at once, on the caller's stack until its first `await`, as a task of this group. Its failure, a
   * synchronous one too, goes to `onError`; the spawner is not touched by it.
   *
   * @throws {GroupClosedError} if the group is closed.
   * @throws {TypeError} if `fn` is no function, or for an option that is unknown or of the wrong type.
   */
  spawn<T>(fn: (task: Task<T>) => T | PromiseLike<T>, options: SpawnOptions = {}): Task<T> {
    if (typeof fn !== 'function') throw new TypeError(`spawn: expected a function, got ${show(fn)}.`)
    checkOptions('spawn', options, spawnChecks)
    const { name = fn.name || 'task', cancelWith, onError = this.#onError } = options
    if (this.#closed) throw new GroupClosedError(name, this.name)
    const unit = storage.getStore()?.unit
    const settings = this.#settingsIn(unit)
    const policy = options.policy ?? this.policy ?? settings.policy ?? 'inherit'
    const task = new Task<T>(name, policy, settings, this, onError)
    if (cancelWith !== undefined) task.cancelWith(cancelWith === 'request' ? requestOf(unit) : cancelWith)
    this.#tasks.add(task)
    task.start(fn)
    return task
  }

  /**
   * Waits until no task is left, those included that tasks spawn meanwhile. At the limit the signals of the rest abort;
   * after the grace it returns whatever they do, and names them. Never rejects.
   *
   * @throws {TypeError} for an option that is unknown or of the wrong type.
   */
  drain(options: DrainOptions = {}): Promise<DrainReport> {
    checkOptions('drain', options, drainChecks)
    return drain(this, options)
  }

  /** Takes no tasks any more; those it has run on. */
  close(): void {
    this.#closed = true
  }

  /** @internal */
  ended(task: Task): void {
    this.#tasks.delete(task)
    this.#endedCount++
    if (this.#tasks.size === 0) {
      this.#idle?.resolve()
      this.#idle = undefined
    }
  }

  /** The settings of the unit that spawns, but with this group for what the task spawns itself. */
  #settingsIn(unit: Unit | undefined): UnitSettings {
    if (unit === undefined) return this.#settings
    const settings = settingsOf(unit)
    return settings.group === this ? settings : { ...settings, group: this }
  }
}

function requestOf(unit: Unit | undefined): RequestScope {
  const scope = (unit as { scope?: RequestScope } | undefined)?.scope
  if (scope !== undefined) return scope
  throw new TypeError(
    "spawn: option 'cancelWith' is 'request', but there is no request here. " +
      'A task can pass on only a request that it is itself cancelled with.',
  )
}

function printFailure(error: unknown, task: Task): void {
  console.error(`logical-context: the task '${task.name}' has failed`, error)
}
