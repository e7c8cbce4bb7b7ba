import { Cell } from '../context/cell.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { root, storage } from '../context/storage.ts'
import { Unit } from '../context/unit.ts'
import { emptyValues } from '../context/values.ts'
import { follow, LazySignal } from './cancellation.ts'
import { cross, type Policy } from './policy.ts'
import type { RequestScope } from './request-scope.ts'
import type { UnitSettings } from './unit-settings.ts'

/** Told of each failure, with the failed task's own context active. */
export type OnTaskError = (error: unknown, task: Task) => unknown

/** Who has the task, and must know of its end. */
export interface TaskOwner {
  ended(task: Task): void
}

let lastId = 0

/** A piece of work that was spawned: it runs beside its spawner and belongs to a group. */
export class Task<T = unknown> extends Unit {
  /** Counts up from 1 in this process. */
  readonly id: number = ++lastId
  readonly name: string
  readonly policy: Policy
  /** @internal */
  readonly settings: UnitSettings
  /** @internal The scope that can cancel the task; undefined for all others, which must not keep a request. */
  scope: RequestScope | undefined = undefined
  readonly #onError: OnTaskError
  readonly #owner: TaskOwner
  #untie: (() => void) | undefined
  #cell: Cell | undefined
  #signal: LazySignal | undefined
  #result: PromiseWithResolvers<unknown> | undefined
  #outcome: { value: T } | { error: unknown } | undefined

  /** @internal Use `spawn` or `group.spawn`. */
  constructor(name: string, policy: Policy, settings: UnitSettings, owner: TaskOwner, onError: OnTaskError) {
    super()
    this.name = name
    this.policy = policy
    this.settings = settings
    this.#owner = owner
    this.#onError = onError
  }

  /** Aborts when the group's drain reaches its limit, and with what `cancelWith` names. Costs nothing until it is read. */
  get signal(): AbortSignal {
    return (this.#signal ??= new LazySignal()).signal
  }

  /** A snapshot of what the task sees now; after its end, of the survivors. */
  get context(): LogicalContext {
    return this.#cell === undefined ? LogicalContext.empty : new LogicalContext(this.#cell.share())
  }

  /** Asks the task to stop, by its signal. What does not watch the signal runs on. */
  abort(reason?: unknown): void {
    const signal = (this.#signal ??= new LazySignal())
    signal.abort(reason ?? new DOMException(`The task '${this.name}' was aborted.`, 'AbortError'))
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

  override late(operation: 'read' | 'write', variable: string): void {
    this.settings.lateUse.seen(operation, variable, this.name)
  }

  /** @internal */
  cancelWith(source: RequestScope | AbortSignal): void {
    if (source instanceof AbortSignal) {
      this.#untie = follow(source, this)
      return
    }
    this.scope = source
    this.#untie = source.tie(this)
  }

  /** @internal Starts at once, on the caller's stack, in the cell that the policy gives. */
  start(fn: (task: Task<T>) => T | PromiseLike<T>): void {
    const spawner = storage.getStore()
    if (this.policy === 'share') {
      this.#cell = spawner
      this.#run(fn)
      return
    }
    const cell = new Cell(spawner === undefined ? emptyValues : cross(spawner.share(), this.policy), this)
    this.#cell = cell
    const run = () => storage.run(cell, () => this.#run(fn))
    if (this.policy === 'isolate') root.runInAsyncScope(run)
    else run()
  }

  /** All handlers are attached in here: attached outside, they would keep the spawner's context until the task's end. */
  #run(fn: (task: Task<T>) => T | PromiseLike<T>): void {
    let returned: T | PromiseLike<T>
    try {
      returned = fn(this)
    } catch (error) {
      this.#fail(error)
      return
    }
    if (!isThenable(returned)) {
      this.#end({ value: returned })
      return
    }
    Promise.resolve(returned).then(
      (value) => this.#end({ value }),
      (error: unknown) => this.#fail(error),
    )
  }

  #fail(error: unknown): void {
    let handled: unknown
    try {
      handled = this.#onError(error, this)
    } catch (failure) {
      printFailures(this, error, failure)
    }
    if (!isThenable(handled)) {
      this.#end({ error })
      return
    }
    Promise.resolve(handled).then(
      () => this.#end({ error }),
      (failure: unknown) => {
        printFailures(this, error, failure)
        this.#end({ error })
      },
    )
  }

  #end(outcome: { value: T } | { error: unknown }): void {
    this.#outcome = outcome
    if (this.#cell?.unit === this) this.sealCells(this.#cell)
    this.#untie?.()
    this.scope = undefined
    this.#owner.ended(this)
    this.#settle()
  }

  #settle(): void {
    if (this.#result === undefined || this.#outcome === undefined) return
    if ('value' in this.#outcome) this.#result.resolve(this.#outcome.value)
    else this.#result.reject(this.#outcome.error)
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

/** The last resort: `onError` itself has failed, and neither failure may be lost. */
function printFailures(task: Task, error: unknown, failure: unknown): void {
  console.error(`logical-context: onError has failed for the task '${task.name}'`, failure, 'while told of', error)
}
