import { inspect } from 'node:util'
import { shareClass } from '../context/shared-class.ts'
import { storage } from '../context/storage.ts'
import { GroupClosedError, GroupFullError } from '../errors.ts'
import { aFunction, aString, type Checks, checkOptions, show } from '../options.ts'
import { drain, drainChecks, type DrainOptions, type DrainReport } from './drain.ts'
import { lateUseByDefault } from './late-use.ts'
import { taskAbandon, type TaskOutcome, taskRefuse, taskSpawn } from './lifecycle.ts'
import { InFlight, type LinkedList } from './linked-list.ts'
import { aPolicy, type Policy } from './policy.ts'
import { cancellerFor, spawnChecks, type SpawnOptions } from './spawn.ts'
import { type OnTaskError, Task } from './task.ts'
import { limitChecks, type Limits, limitsOf, type TaskLimits } from './task-limits.ts'
import type { Unit, UnitSettings } from './unit.ts'

export interface TaskGroupOptions extends TaskLimits {
  /** For reports. Default: `'tasks'`. */
  name?: string
  /** For the tasks that name none themselves. Default: the route's or the plugin's, else `inherit`. */
  policy?: Policy
  /** Told of each failure of a task that has no `onError` of its own. Default: prints it to stderr. */
  onError?: OnTaskError
}

/** What a group has, and what has become of its tasks so far. */
export interface TaskCounters {
  running: number
  /** Tasks that wait for a place among the running ones. */
  queued: number
  /** Tasks that the full group has not accepted yet: their spawners wait. */
  waiting: number
  ended: number
  /** Of the ended ones, those whose failure went to `onError`. */
  failed: number
  /** Spawns that threw, because the group was full or closed. */
  refused: number
  /** Tasks that had not ended at the limit of a drain. */
  abandoned: number
}

const groupChecks: Checks = { name: aString, policy: aPolicy, onError: aFunction, ...limitChecks }
/** Tasks that may outlive the call that spawned them, but never the group. One that fails does not touch the others. */
export class TaskGroup {
  readonly name: string
  readonly policy: Policy | undefined
  readonly #onError: OnTaskError
  readonly #tasks = new InFlight<Task>()
  /** The tasks that have not ended, in the order of their spawning. */
  readonly tasks: ReadonlySet<Task> = new TaskSet(this.#tasks)
  /** For tasks spawned outside any unit. */
  readonly #settings: UnitSettings
  readonly #limits: Limits | undefined
  #closed = false
  #endedCount = 0
  #failedCount = 0
  #refusedCount = 0
  #abandonedCount = 0

  /** @throws {TypeError} for an option that is unknown or of the wrong type. */
  constructor(options: TaskGroupOptions = {}) {
    checkOptions('TaskGroup', options, groupChecks)
    const { name = 'tasks', policy, onError = printFailure } = options
    this.name = name
    this.policy = policy
    this.#onError = onError
    this.#settings = { group: this, policy: undefined, lateUse: lateUseByDefault }
    this.#limits = limitsOf('TaskGroup', options)
  }

  get counters(): TaskCounters {
    const { queued, waiting } = this.#limits ?? { queued: 0, waiting: 0 }
    return {
      running: this.#tasks.size - queued - waiting,
      queued,
      waiting,
      ended: this.#endedCount,
      failed: this.#failedCount,
      refused: this.#refusedCount,
      abandoned: this.#abandonedCount,
    }
  }

  /** @internal How many tasks have ended so far. */
  get endedCount(): number {
    return this.#endedCount
  }

  /** @internal Resolves when there is no task, maybe only for a moment. */
  idle(): Promise<void> {
    return this.#tasks.idle()
  }

  /**
   * Starts `fn` at once, on the caller's stack until its first `await`, as a task of this group; in a full group, as
   * its limits say. Its failure, a synchronous one too, goes to `onError`; the spawner is not touched by it.
   *
   * @throws {GroupClosedError} if the group is closed.
   * @throws {GroupFullError} if the group has no place for the task and is told to reject it.
   * @throws {TypeError} if `fn` is no function, or for an option that is unknown or of the wrong type.
   */
  spawn<T>(fn: (task: Task) => T | PromiseLike<T>, options: SpawnOptions = {}): Task<T> {
    if (typeof fn !== 'function') throw new TypeError(`spawn: expected a function, got ${show(fn)}.`)
    checkOptions('spawn', options, spawnChecks)
    const { name = fn.name || 'task', onError = this.#onError } = options
    const spawner = storage.getStore()
    const unit = spawner?.base.unit as Unit | undefined
    const settings = unit === undefined ? this.#settings : unit.settings
    const policy = options.policy ?? this.policy ?? settings.policy ?? 'inherit'
    const canceller = cancellerFor(options, policy, unit)
    if (this.#closed) throw this.#refused(name, new GroupClosedError(name, this.name))
    const ticket = this.#limits?.admit(unit)
    if (ticket === undefined && this.#limits !== undefined) {
      throw this.#refused(name, new GroupFullError(name, this.name, this.#limits.describe(unit)))
    }
    const task = new Task<T>(name, policy, settings, this, onError)
    task.ticket = ticket
    if (canceller !== undefined) task.cancelWith(canceller)
    this.onSpawn(task)
    this.#tasks.add(task)
    if (taskSpawn.hasSubscribers) taskSpawn.publish({ task: task })
    if (ticket === undefined || ticket.begins) {
      task.start(fn, spawner)
      return task
    }
    this.#limits?.enqueue(task, ticket)
    task.hold(fn, spawner)
    return task
  }

  /** @internal Tells `onError` of the failure of a task of another group, which that one has no use for. */
  report(error: unknown, task: Task): unknown {
    this.#failedCount++
    return this.#onError(error, task)
  }

  /** @internal Owns what is left of a call that nobody waits for any more, whatever the limits; a failure is reported. */
  adopt(name: string, rest: Promise<unknown>): void {
    const task = new Task(name, 'share', this.#settings, this, this.#onError)
    this.#tasks.add(task)
    task.start(() => rest, storage.getStore())
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
  ended(task: Task, outcome: TaskOutcome): void {
    this.#endedCount++
    if (outcome === 'failed') this.#failedCount++
    this.#tasks.delete(task)
    if (task.ticket !== undefined) this.#limits?.release(task.ticket)
  }

  /** @internal The limit of a drain is over: tells those that are left to stop. */
  abandon(tasks: readonly Task[], error: Error): void {
    this.#abandonedCount += tasks.length
    for (const task of tasks) {
      if (taskAbandon.hasSubscribers) taskAbandon.publish({ task, error })
      task.observation?.abandoned?.(error)
      task.abort(error)
    }
  }

  /** @internal Called for each task of the group before it starts. */
  protected onSpawn(_task: Task): void {}

  #refused(name: string, error: Error): Error {
    this.#refusedCount++
    if (taskRefuse.hasSubscribers) taskRefuse.publish({ name, group: this, error })
    return error
  }
}

shareClass(TaskGroup, 'TaskGroup')

function printFailure(error: unknown, task: Task): void {
  console.error(`logical-context: the task '${task.name}' has failed: ${show(error)}`)
}

/** The tasks of a group as a set that is always up to date, and costs nothing to look at. */
class TaskSet implements ReadonlySet<Task> {
  readonly #tasks: LinkedList<Task>

  constructor(tasks: LinkedList<Task>) {
    this.#tasks = tasks
  }

  get size(): number {
    return this.#tasks.size
  }

  has(task: Task): boolean {
    return task.group.tasks === this && this.#tasks.has(task)
  }

  forEach(visit: (task: Task, sameTask: Task, set: ReadonlySet<Task>) => void): void {
    for (const task of this) visit(task, task, this)
  }

  /** Of those that are there when it begins. */
  values(): SetIterator<Task> {
    return new Set(this.#tasks.items).values()
  }

  keys(): SetIterator<Task> {
    return this.values()
  }

  entries(): SetIterator<[Task, Task]> {
    return new Set(this.#tasks.items).entries()
  }

  [Symbol.iterator](): SetIterator<Task> {
    return this.values()
  }

  [inspect.custom](): Set<Task> {
    return new Set(this)
  }
}
