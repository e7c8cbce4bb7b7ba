import { requestIdSlot, shareClass, storage } from '../context/storage.ts'
import { GroupClosedError, GroupFullError } from '../errors.ts'
import { aFunction, aString, type Checks, checkOptions, show } from '../options.ts'
import { drain, drainChecks, type DrainOptions, type DrainReport } from './drain.ts'
import { lateUseByDefault } from './late-use.ts'
import { taskAbandon, type TaskOutcome, taskRefuse, taskSpawn } from './lifecycle.ts'
import { InFlight, type Wait } from './linked-list.ts'
import { aPolicy, type Policy } from './policy.ts'
import type { RequestScope } from './request-scope.ts'
import { bodyOf, onRejection, responseOf, sourceOf, spawnChecks, type SpawnedWork, type SpawnOptions } from './spawn.ts'
import { type OnTaskError, Task } from './task.ts'
import { limitChecks, type Limits, limitsOf, type Slot, type TaskLimits } from './task-limits.ts'
import { callingUnits, type Unit, type UnitSettings } from './unit.ts'

/** Options of `new TaskGroup`. */
export interface TaskGroupOptions extends TaskLimits {
  /** For reports. Default: `'tasks'`. */
  name?: string
  /** For tasks without a policy of their own. Default: the policy of the route or the plugin, else `inherit`. */
  policy?: Policy
  /** Called for each failed task without its own `onError`. Default: writes the failure to stderr. */
  onError?: OnTaskError
}

/** The current state of a group, and what happened to its tasks so far. */
export interface TaskCounters {
  running: number
  /** Tasks that the group accepted and that are deferred until a slot is free. */
  queued: number
  /** Tasks that the full group has not accepted yet. Their spawners wait. */
  waiting: number
  ended: number
  /** Ended tasks whose failure went to `onError`. */
  failed: number
  /** Ended tasks that stopped because they were cancelled, and those that never began for that reason. */
  cancelled: number
  /** Spawns that threw because the group was full or closed. */
  refused: number
  /** Tasks that had not ended at the limit of a drain. */
  abandoned: number
}

const groupChecks: Checks = { name: aString, policy: aPolicy, onError: aFunction, ...limitChecks }

/**
 * Owns tasks. They may outlive the call that spawned them. A task that fails does not affect the others.
 *
 * Invariants:
 *
 * 1. A task is in the list of its group from its spawn until its end, and never again.
 * 2. The end of a task comes after its `onError`, its `task:end` event and its seal. A drain that resolves has seen all
 *    of them.
 * 3. A task takes a slot of the limits at its spawn and releases it once, also if the stack overflows in between.
 * 4. A drain waits for the tasks that other tasks spawn. It does not wait for the code that calls it.
 * 5. A closed group accepts no task. Its tasks continue, and can be drained.
 *
 * Comparison to a `Set` of promises: the group also has the names, can abort its tasks, and keeps no ended task.
 */
export class TaskGroup {
  readonly name: string
  readonly policy: Policy | undefined
  readonly #onError: OnTaskError
  readonly #tasks = new InFlight<Task>()
  /** For tasks spawned outside any unit. */
  readonly #settings: UnitSettings
  readonly #limits: Limits | undefined
  #closed = false
  #endedCount = 0
  #failedCount = 0
  #cancelledCount = 0
  #refusedCount = 0
  #abandonedCount = 0
  #hasOverflowed = false
  /** Slots whose tasks were never created. */
  #lostSlots: Slot | undefined

  /** @throws {TypeError} for an option that is unknown or of the wrong type. */
  constructor(options?: TaskGroupOptions) {
    const checked = checkOptions('TaskGroup', options, groupChecks)
    const { name = 'tasks', policy, onError = printFailure } = checked
    this.name = name
    this.policy = policy
    this.#onError = onError
    this.#settings = { group: this, policy: undefined, lateUse: lateUseByDefault }
    this.#limits = limitsOf('TaskGroup', checked)
  }

  /** The tasks that have not ended, in the order of their spawns. A copy. */
  get tasks(): readonly Task[] {
    return this.#inFlight.items
  }

  get counters(): TaskCounters {
    const { queued, waiting } = this.#limits ?? { queued: 0, waiting: 0 }
    return {
      running: this.#inFlight.size - queued - waiting,
      queued,
      waiting,
      ended: this.#endedCount,
      failed: this.#failedCount,
      cancelled: this.#cancelledCount,
      refused: this.#refusedCount,
      abandoned: this.#abandonedCount,
    }
  }

  /**
   * Starts `work` as a task of this group: at once, on the caller's stack until its first `await`; in a full group as its
   * limits say. Its failure goes to `onError`, also a synchronous one, and does not affect the spawner.
   *
   * @throws {GroupClosedError} if the group is closed.
   * @throws {GroupFullError} if the group has no slot for the task and rejects it.
   * @throws {TypeError} if `work` is neither a function nor a promise, or an option is unknown or of the wrong type.
   */
  spawn<T>(work: SpawnedWork<T>, options?: SpawnOptions): Task<T> {
    const fn = bodyOf(work)
    const checked = checkOptions('spawn', options, spawnChecks)
    const { name = (typeof work === 'function' && work.name) || 'task', onError = this.#onError, timeoutMs } = checked
    const spawner = storage.getStore()
    const unit = spawner?.unit as Unit | undefined
    const settings = unit === undefined ? this.#settings : unit.settings
    const policy = checked.policy ?? this.policy ?? settings.policy ?? 'inherit'
    const source = sourceOf(checked, policy, unit)
    const response = responseOf(checked, policy, unit)
    if (this.#closed) throw this.#refused(name, new GroupClosedError(name, this.name), work, onError)
    const limits = this.#limits
    const slot = response === undefined ? limits?.admit(unit) : limits?.admitLater(unit)
    if (slot === undefined && limits !== undefined) {
      throw this.#refused(name, new GroupFullError(name, this.name, limits.describe(unit)), work, onError)
    }
    let spawned: Task<T> | undefined
    try {
      const task = new Task<T>(name, policy, settings, this, onError, timeoutMs)
      spawned = task
      task.slot = slot
      this.#tasks.add(task)
      this.onSpawn(task)
      if (source !== undefined) task.cancelWith(source)
      if (taskSpawn.hasSubscribers) taskSpawn.publish({ task })
      // A promise can reject before its task begins.
      if (typeof work !== 'function') onRejection(work, () => {})
      if (response === undefined && (slot === undefined || slot.state === 'running')) task.start(fn, spawner)
      else {
        if (response !== undefined) this.#beginAfter(response, task)
        else if (slot !== undefined) limits?.defer(task, slot)
        task.defer(fn, spawner)
      }
      return task
    } catch (error) {
      // A failure of the task ends in the task. What comes here is an overflow of the stack in our own code.
      // No call and no allocation is certain to succeed here, so it only leaves a mark.
      if (spawned !== undefined) spawned.overflowed = true
      else if (slot !== undefined) {
        slot.nextLost = this.#lostSlots
        this.#lostSlots = slot
      }
      this.#hasOverflowed = true
      this.markOverflow()
      throw error
    }
  }

  // Not in `spawn`, where each call would allocate what the closure captures.
  #beginAfter(response: RequestScope, task: Task): void {
    response.onClose(() => {
      if (!task.began && task.slot === undefined) task.begin()
      else if (!task.began) this.#limits?.queue(task, task.slot as Slot)
    })
  }

  /** @internal Calls `onError` for the failure of a task of another group, which has no other use for it. */
  report(error: unknown, task: Task): unknown {
    this.#failedCount++
    return this.#onError(error, task)
  }

  /** @internal Owns the rest of a call that no code awaits any more, whatever the limits; its failure is reported. */
  adopt(name: string, rest: Promise<unknown>, onError: OnTaskError = this.#onError): Task {
    const task = new Task(name, 'share', this.#settings, this, onError)
    this.#inFlight.add(task)
    task.start(() => rest, storage.getStore())
    return task
  }

  /**
   * Waits until no task is left; also for tasks that are spawned meanwhile, but not for the task that calls it. At the
   * limit the signals of the remaining tasks abort. After the grace period the promise resolves in any case, with the
   * names of the tasks. It never rejects.
   *
   * @throws {TypeError} for an option that is unknown or of the wrong type.
   */
  drain(options?: DrainOptions): Promise<DrainReport> {
    return drain(this, checkOptions('drain', options, drainChecks))
  }

  /** @internal */
  get closed(): boolean {
    return this.#closed
  }

  /** Closes the group for new tasks. Its tasks continue. A second call does nothing. */
  close(): void {
    this.#closed = true
  }

  /** @internal Opens a closed group again. */
  reopen(): void {
    this.#closed = false
  }

  /** @internal */
  get endedCount(): number {
    return this.#endedCount
  }

  /** @internal All tasks. */
  get inFlight(): Wait<Task> {
    return this.#inFlight
  }

  /** @internal Begins a wait for all tasks, but not for the tasks whose code calls this. */
  wait(): Wait<Task> {
    const callers = callingUnits().filter((unit) => unit instanceof Task && unit.group === this)
    return this.#inFlight.waitFor(callers as Task[])
  }

  /** @internal A second call for one task releases what the first did not. */
  ended(task: Task, outcome: TaskOutcome, _settled: unknown): void {
    if (this.#tasks.has(task)) {
      this.#endedCount++
      if (outcome === 'failed') this.#failedCount++
      if (outcome === 'cancelled' || outcome === 'withdrawn') this.#cancelledCount++
    }
    this.#tasks.delete(task)
    const { slot } = task
    if (slot === undefined || slot.isReleased) return
    slot.isReleased = true
    this.#limits?.release(slot)
  }

  /** @internal Aborts the tasks that are left at the limit of a drain. */
  abandon(tasks: readonly Task[], error: Error): void {
    this.#abandonedCount += tasks.length
    for (const task of tasks) {
      if (taskAbandon.hasSubscribers) taskAbandon.publish({ task, error })
      task.observation?.abandoned?.(error)
      task.abort(error)
    }
  }

  /** @internal The unit whose code waits for all tasks of the group. */
  get caller(): Unit | undefined {
    return undefined
  }

  /** @internal Called for each task of the group before it starts. */
  protected onSpawn(_task: Task): void {}

  /** @internal A task of the group is marked as overflowed. */
  markOverflow(): void {
    this.#hasOverflowed = true
    queueMicrotask(() => this.#completeOverflowed())
  }

  get #inFlight(): InFlight<Task> {
    if (this.#hasOverflowed) this.#completeOverflowed()
    return this.#tasks
  }

  /** Completes the end of tasks whose start overflowed the stack. Called before anything reads what is in flight. */
  #completeOverflowed(): void {
    for (const task of this.#tasks.items) if (task.overflowed) task.completeOverflow()
    for (let slot = this.#lostSlots; slot !== undefined; slot = this.#lostSlots) {
      this.#lostSlots = slot.nextLost
      this.#limits?.release(slot)
    }
    this.#hasOverflowed = false
  }

  #refused(name: string, error: Error, work: SpawnedWork<unknown>, onError: OnTaskError): Error {
    this.#refusedCount++
    // Its work runs already: without an owner its rejection would end the process.
    if (typeof work !== 'function') onRejection(work, (reason) => this.adopt(name, Promise.reject(reason), onError))
    if (taskRefuse.hasSubscribers) taskRefuse.publish({ name, group: this, error })
    return error
  }
}

shareClass(TaskGroup, 'TaskGroup')

function printFailure(error: unknown, task: Task): void {
  const request = requestIdSlot.variable?.get()
  const ids = request === undefined ? `id ${task.id}` : `id ${task.id}, request ${request}`
  console.error(`logical-context: the task '${task.name}' (${ids}) failed: ${show(error)}`)
}
