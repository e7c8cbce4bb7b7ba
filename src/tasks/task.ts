import { bridge } from '../context/bridge.ts'
import { Cell } from '../context/cell.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { shareClass } from '../context/shared-class.ts'
import { captureSnapshot, type AsyncSnapshot, processSingleton, storage } from '../context/storage.ts'
import { emptyValues } from '../context/values.ts'
import { show } from '../options.ts'
import type { CancelScope } from './cancel-scope.ts'
import { taskEnd, type TaskOutcome, taskStart } from './lifecycle.ts'
import type { Listed } from './linked-list.ts'
import { enterCell, openCell, type Policy } from './policy.ts'
import type { TaskGroup } from './task-group.ts'
import type { Ticket } from './task-limits.ts'
import { isThenable } from './thenable.ts'
import { Unit, type UnitSettings } from './unit.ts'

/** Told of each failure, with the failed task's own context active. */
export type OnTaskError = (error: unknown, task: Task) => unknown

type TaskBody<T> = (task: Task) => T | PromiseLike<T>

/** A piece of work that was spawned: it runs beside its spawner and belongs to a group. */
export class Task<T = unknown> extends Unit implements Listed<Task> {
  /** Counts up from 1 in this process. */
  readonly id: number = nextTaskId()
  readonly name: string
  readonly policy: Policy
  /** @internal */
  readonly settings: UnitSettings
  /** The group that owns it. */
  readonly group: TaskGroup
  /** @internal Its place in a group with limits. */
  ticket: Ticket | undefined = undefined
  /** @internal Among the tasks of its group. */
  before: Task | undefined = undefined
  /** @internal */
  after: Task | undefined = undefined
  /** @internal */
  cell: Cell | undefined = undefined
  /** @internal */
  origin = 0
  readonly #onError: OnTaskError
  /** Of a task that has not begun yet: its work, and the way into all contexts of the spawn. */
  #held: { readonly body: TaskBody<T>; readonly entry: AsyncSnapshot } | undefined
  #result: PromiseWithResolvers<unknown> | undefined
  /** With its value, or its error. */
  #ending: { readonly outcome: TaskOutcome; readonly settled: unknown } | undefined

  /** @internal Use `spawn` or `group.spawn`. */
  constructor(name: string, policy: Policy, settings: UnitSettings, group: TaskGroup, onError: OnTaskError) {
    super()
    this.name = name
    this.policy = policy
    this.settings = settings
    this.group = group
    this.#onError = onError
  }

  /** A snapshot of what the task sees now; after its end, of the survivors. */
  get context(): LogicalContext {
    return this.cell === undefined ? LogicalContext.empty : new LogicalContext(this.cell.share())
  }

  /** @internal */
  get began(): boolean {
    return this.#held === undefined
  }

  /** Asks the task to stop, by its signal. What does not watch the signal runs on; what has not begun never begins. */
  abort(reason?: unknown): void {
    const why = reason ?? new DOMException(`The task '${this.name}' was aborted.`, 'AbortError')
    this.cancelScope.abort(why)
  }

  /** @internal */
  override cancelled(): void {
    if (!this.began) this.#withdraw()
  }

  /**
   * Resolves when the group has taken the task. That is at once, but in a full group that makes spawners wait: await it
   * there, to spawn no faster than tasks end. Rejects with the task's `CancelledError` if it is aborted before.
   */
  accepted(): Promise<void> {
    return this.ticket?.accepted(this) ?? Promise.resolve()
  }

  /**
   * The task's value, or its failure, which goes to `onError` too. Nobody needs to ask: a failure is never an unhandled
   * rejection.
   */
  result(): Promise<T> {
    if (this.#result === undefined) {
      this.#result = Promise.withResolvers()
      this.#result.promise.catch(() => {})
      this.#settle()
    }
    return this.#result.promise as Promise<T>
  }

  /** @internal */
  cancelWith(source: CancelScope | AbortSignal): void {
    this.cancelScope.cancelWith(source)
  }

  /** @internal Starts at once, on the caller's stack, in the cell that the policy gives. */
  start(body: TaskBody<T>, spawner: Cell | undefined): void {
    this.#enter(body, spawner, (task, given) => task.#run(given))
  }

  /** @internal Starts at `begin`, in the cell that the policy gives now, and in the other contexts of now. */
  hold(body: TaskBody<T>, spawner: Cell | undefined): void {
    this.#enter(body, spawner, (task, given) => {
      task.#held = { body: given, entry: captureSnapshot() }
    })
    if (this.aborted) this.#withdraw()
  }

  /** @internal */
  begin(): void {
    const held = this.#held
    this.#held = undefined
    held?.entry.runInAsyncScope(() => this.#run(held.body))
  }

  #enter(body: TaskBody<T>, spawner: Cell | undefined, proceed: (task: Task<T>, body: TaskBody<T>) => void): void {
    let given = body
    this.origin = (spawner?.unit as Unit | undefined)?.origin ?? 0
    this.observation = bridge.current?.spawned(this)
    try {
      this.cell = openCell(this, this.policy, spawner)
    } catch (error) {
      // A variable's own rule has failed, and so has the task: without the value it must not begin.
      this.cell = new Cell(emptyValues, this)
      given = () => {
        throw error
      }
    }
    enterCell(this.cell, this.policy, proceed, this, given)
  }

  #run(body: TaskBody<T>): void {
    if (this.observation === undefined) this.#work(body)
    else this.observation.around(() => this.#work(body))
  }

  /** All handlers are attached in here: attached outside, they would keep the spawner's context until the task's end. */
  #work(body: TaskBody<T>): void {
    if (taskStart.hasSubscribers) taskStart.publish({ task: this })
    try {
      const returned = body(this)
      // Functions that are bound are smaller than closures with their context, and a task may pend for long.
      if (isThenable(returned)) Promise.resolve(returned).then(this.#succeed.bind(this), this.#fail.bind(this))
      else this.#succeed(returned)
    } catch (error) {
      this.#fail(error)
    }
  }

  #succeed(value: unknown): void {
    this.#end('done', value)
  }

  #fail(error: unknown): void {
    reportFailure(this.#onError, error, this, () => this.#end('failed', error))
  }

  #withdraw(): void {
    this.#held = undefined
    const error = this.ticket?.withdraw(this.name, this.abortReason)
    storage.run(this.cell as Cell, () => this.#end('withdrawn', error))
  }

  #end(outcome: TaskOutcome, settled: unknown): void {
    this.#ending = { outcome, settled }
    if (taskEnd.hasSubscribers) {
      taskEnd.publish({ task: this, outcome, error: outcome === 'done' ? undefined : settled })
    }
    this.observation?.ended(outcome, settled)
    this.observation = undefined
    this.seal()
    this.leaveCancelScope()
    this.group.ended(this, outcome)
    this.#settle()
  }

  #settle(): void {
    if (this.#ending === undefined) return
    const { outcome, settled } = this.#ending
    if (outcome === 'done') this.#result?.resolve(settled)
    else this.#result?.reject(settled)
  }
}

shareClass(Task, 'Task')

/** Counted in one place for all copies of the package. */
const ids = processSingleton('taskIds', () => ({ last: 0 }))

/** Counts up from 1 in this process. */
function nextTaskId(): number {
  return ++ids.last
}

/** Tells `onError` of a failure, and then calls `end`. */
function reportFailure(onError: OnTaskError, error: unknown, task: Task, end: () => void): void {
  const endTwiceFailed = (failure: unknown) => {
    const [second, first] = [show(failure), show(error)]
    // The last resort: neither failure may be lost.
    console.error(`logical-context: onError has failed for the task '${task.name}': ${second} while told of ${first}`)
    end()
  }
  try {
    const handled = onError(error, task)
    if (isThenable(handled)) Promise.resolve(handled).then(end, endTwiceFailed)
    else end()
  } catch (failure) {
    endTwiceFailed(failure)
  }
}
