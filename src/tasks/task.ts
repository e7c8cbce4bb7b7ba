import { isThenable } from '../callbacks.ts'
import { bridge, type UnitObservation } from '../context/bridge.ts'
import { Cell, type View } from '../context/cell.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { captureSnapshot, type AsyncSnapshot, processSingleton, root, shareClass, storage } from '../context/storage.ts'
import { emptyValues } from '../context/values.ts'
import { CancelledError, TimeoutError } from '../errors.ts'
import { taskEnd, type TaskOutcome, taskStart } from './lifecycle.ts'
import { reportFailure } from './report-failure.ts'
import { enterCell, openCell, type Policy } from './policy.ts'
import type { TaskGroup } from './task-group.ts'
import type { Slot } from './task-limits.ts'
import { after } from './timer.ts'
import { callingUnit, Unit, type UnitSettings } from './unit.ts'

/**
 * Called for each failed task, in the context of that task. The task ends when the promise that it returns settles, and
 * after 10 seconds at the latest. It is not called for a task that stopped because it was cancelled.
 */
export type OnTaskError = (error: unknown, task: Task) => unknown

type TaskBody<T> = (task: Task) => T | PromiseLike<T>

/** Work that was spawned: it runs concurrently with its spawner, and a group owns it. */
export class Task<T = unknown> extends Unit {
  /** Counts up from 1 in this process. */
  readonly id: number = ++ids.last
  readonly name: string
  readonly policy: Policy
  /** @internal */
  readonly settings: UnitSettings
  /** The group that owns it. */
  readonly group: TaskGroup
  /** @internal Its slot in a group with limits. */
  slot: Slot | undefined = undefined
  /** @internal The previous task in the list of its group. */
  before: Task | undefined = undefined
  /** @internal The next one. */
  after: Task | undefined = undefined
  /** @internal */
  cell: View | undefined = undefined
  /** @internal */
  origin = 0
  /** @internal Whether its start overflowed the stack, and its end is not complete. */
  overflowed = false
  /** The promise of work whose start overflowed the stack. */
  #unsettled: Promise<unknown> | undefined
  readonly #onError: OnTaskError
  /** For a task that has not begun: its work, and all contexts of the spawn. */
  #deferred: { readonly body: TaskBody<T>; readonly snapshot: AsyncSnapshot } | undefined
  /** One object, because most tasks have no limit, and each field makes every spawn slower. */
  readonly #timeout: Timeout | undefined
  #result: Result | undefined
  /** Undefined until the end. */
  #outcome: TaskOutcome | undefined
  /** Its value or its error. */
  #settled: unknown

  /** @internal Use `spawn` or `group.spawn`. */
  constructor(
    name: string,
    policy: Policy,
    settings: UnitSettings,
    group: TaskGroup,
    onError: OnTaskError,
    timeoutMs?: number,
  ) {
    super()
    this.name = name
    this.policy = policy
    this.settings = settings
    this.group = group
    this.#onError = onError
    if (timeoutMs !== undefined) this.#timeout = { ms: timeoutMs, stop: undefined, error: undefined }
  }

  /** A snapshot of the current values of the task; after its end, of the survivors. */
  get context(): LogicalContext {
    return this.cell === undefined ? LogicalContext.empty : new LogicalContext(this.cell.base.share())
  }

  /** @internal */
  get began(): boolean {
    return this.#deferred === undefined
  }

  /** @internal */
  get hasEnded(): boolean {
    return this.#outcome !== undefined
  }

  /**
   * Aborts the signal of the task. Work that does not observe the signal continues. A task that has not begun never
   * begins.
   */
  abort(reason?: unknown): void {
    const why = reason ?? new DOMException(`The task '${this.name}' was aborted.`, 'AbortError')
    this.cancelScope.abort(why)
  }

  /** @internal */
  override get callers(): readonly (Unit | undefined)[] {
    return [this.group.caller, ...(this.#result?.callers ?? [])]
  }

  /** @internal */
  override cancelled(): void {
    if (!this.began) this.#withdraw()
  }

  /**
   * Resolves when the group accepts the task: at once, or in a full group with `whenFull: 'wait'` when there is a slot.
   * Await it there, to spawn no faster than tasks end. Rejects with the task's `CancelledError` if it is aborted before.
   */
  accepted(): Promise<void> {
    if (this.#outcome === 'withdrawn') return this.result() as Promise<never>
    return this.slot?.accepted() ?? Promise.resolve()
  }

  /**
   * Resolves with the task's value, or rejects with its failure, which `onError` receives too. A failure that no code
   * awaits is not an unhandled rejection.
   */
  result(): Promise<T> {
    if (this.#result === undefined) {
      this.#result = Promise.withResolvers()
      this.#result.promise.catch(() => {})
      this.#settle()
    }
    if (this.#outcome === undefined) (this.#result.callers ??= []).push(callingUnit())
    return this.#result.promise as Promise<T>
  }

  /** @internal Starts now, on the caller's stack, in the cell that the policy provides. */
  start(body: TaskBody<T>, spawner: View | undefined): void {
    this.#enter(body, spawner, Task.#runNow)
  }

  /** @internal Starts at `begin`, in the cell that the policy provides now, and in the other contexts of now. */
  defer(body: TaskBody<T>, spawner: View | undefined): void {
    this.#enter(body, spawner, Task.#runLater)
    if (this.aborted && !this.began) this.#withdraw()
  }

  /** @internal */
  begin(): void {
    const deferred = this.#deferred
    this.#deferred = undefined
    try {
      deferred?.snapshot.runInAsyncScope(() => this.#run(deferred.body))
    } catch {
      this.overflowed = true
      this.group.markOverflow()
    }
  }

  /** @internal Completes the end of a task whose start overflowed the stack. A second call does nothing. */
  completeOverflow(): void {
    const end = () => {
      if (this.#unsettled !== undefined) this.#settleWith(this.#unsettled)
      else this.#end('failed', new RangeError('The stack overflowed.'))
      this.#unsettled = undefined
    }
    this.overflowed = false
    this.#deferred = undefined
    if (this.cell === undefined) end()
    else storage.run(this.cell, end)
  }

  // One function each for all tasks: a closure for each task costs more.
  static readonly #runNow = <U>(task: Task<U>, body: TaskBody<U>): void => task.#run(body)
  static readonly #runLater = <U>(task: Task<U>, body: TaskBody<U>): void => {
    task.#deferred = { body, snapshot: captureSnapshot() }
  }

  #enter(body: TaskBody<T>, spawner: View | undefined, proceed: (task: Task<T>, body: TaskBody<T>) => void): void {
    let given = body
    this.origin = (spawner?.unit as Unit | undefined)?.origin ?? 0
    this.observation = bridge.current?.spawned(this)
    try {
      this.cell = openCell(this, this.policy, spawner)
    } catch (error) {
      // A variable's own rule failed. Without the value the task must not begin, so it fails too.
      this.cell = new Cell(emptyValues, this)
      given = () => {
        throw error
      }
    }
    enterCell(this.cell, this.policy, proceed, this, given)
  }

  #run(body: TaskBody<T>): void {
    if (this.observation === undefined) this.#work(body)
    else this.#runIn(this.observation, body)
  }

  #runIn(observation: UnitObservation, body: TaskBody<T>): void {
    observation.around(() => this.#work(body))
  }

  /** All handlers are attached in here: outside they would keep the spawner's context until the end of the task. */
  #work(body: TaskBody<T>): void {
    if (taskStart.hasSubscribers) taskStart.publish({ task: this })
    if (this.#timeout !== undefined) this.#limit(this.#timeout)
    let returned: unknown
    try {
      returned = body(this)
      if (isThenable(returned)) this.#settleWith(returned)
      else this.#succeed(returned)
    } catch (error) {
      if (returned instanceof Promise) {
        // The work runs, but the stack overflowed here.
        this.#unsettled = returned
        throw error
      }
      this.#fail(error)
    }
  }

  #settleWith(returned: PromiseLike<unknown>): void {
    // Bound functions are smaller than closures with their context, and a task may be pending for long.
    Promise.resolve(returned).then(this.#succeed.bind(this), this.#fail.bind(this))
  }

  #succeed(value: unknown): void {
    this.#end('done', value)
  }

  #fail(error: unknown): void {
    if (!this.isCancellation(error)) reportFailure(this.#onError, error, this, () => this.#end('failed', error))
    else if (this.#timeout?.error === undefined || this.abortReason !== this.#timeout.error)
      this.#end('cancelled', error)
    else {
      // A library reports the abort by an error of its own.
      const timeout = this.#timeout.error
      reportFailure(this.#onError, timeout, this, () => this.#end('failed', timeout))
    }
  }

  #limit(timeout: Timeout): void {
    const { ms } = timeout
    const expire = () => {
      timeout.error = new TimeoutError(this.name, ms)
      this.abort(timeout.error)
    }
    // A timer keeps the contexts in which it is set.
    timeout.stop = root.runInAsyncScope(() => after(ms, expire, { ref: false }))
  }

  #withdraw(): void {
    this.#deferred = undefined
    const what = `The task '${this.name}' was aborted before it began`
    const advice = 'Spawn it again if its work is still needed.'
    const error = new CancelledError(what, advice, { cause: this.abortReason })
    this.slot?.withdraw(error)
    storage.run(this.cell as View, () => this.#end('withdrawn', error))
  }

  #end(outcome: TaskOutcome, settled: unknown): void {
    if (this.#outcome === undefined) {
      this.#outcome = outcome
      this.#settled = settled
      if (taskEnd.hasSubscribers) {
        taskEnd.publish({ task: this, outcome, error: outcome === 'done' ? undefined : settled })
      }
      this.observation?.ended(outcome, settled)
      this.observation = undefined
    }
    this.#timeout?.stop?.()
    this.seal()
    this.leaveCancelScope()
    this.group.ended(this, this.#outcome, this.#settled)
    this.#settle()
  }

  #settle(): void {
    if (this.#outcome === undefined || this.#result === undefined) return
    this.#result.callers = undefined
    if (this.#outcome === 'done') this.#result.resolve(this.#settled)
    else this.#result.reject(this.#settled)
  }
}

shareClass(Task, 'Task')

interface Result extends PromiseWithResolvers<unknown> {
  /** The units that wait for it, until it settles. */
  callers?: (Unit | undefined)[] | undefined
}

/** The option `timeoutMs` of a task. */
interface Timeout {
  readonly ms: number
  stop: (() => void) | undefined
  /** The reason of the abort at the limit. */
  error: TimeoutError | undefined
}

/** One counter for all copies of the package. */
const ids = processSingleton('taskIds', () => ({ last: 0 }))
