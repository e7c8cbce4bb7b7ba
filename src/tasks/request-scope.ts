import { Cell } from '../context/cell.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { captureEntry, type Entry, storage } from '../context/storage.ts'
import { Unit } from '../context/unit.ts'
import { ScopeClosedError } from '../errors.ts'
import { type Abortable, abortAll, LazySignal } from './cancellation.ts'
import { isThenable } from './task.ts'
import type { UnitSettings } from './unit-settings.ts'

/**
 * The life of one unit of work: a request, a message, a run of a job. It is opened by its making, entered with `run`,
 * and closed once; when it is closed and nothing that `run` started is pending, it seals: its values are dropped but
 * for the survivors.
 */
export class RequestScope extends Unit {
  name: string
  /** @internal Replaced once, when the route is known. */
  settings: UnitSettings
  /** @internal */
  readonly cell: Cell
  /** @internal Called once, at the seal. */
  onSealed: (() => void) | undefined = undefined
  readonly #tied = new Set<Abortable>()
  #entry: Entry | undefined
  #signal: LazySignal | undefined
  #pending = 0
  #closed = false

  /** @internal Use `runInScope`, or a middleware. */
  constructor(name: string, context: LogicalContext, settings: UnitSettings) {
    super()
    this.name = name
    this.settings = settings
    this.cell = new Cell(context.values, this)
  }

  /** Aborts when nobody waits for the result any more: the client has hung up. Costs nothing until it is read. */
  get signal(): AbortSignal {
    return (this.#signal ??= new LazySignal()).signal
  }

  /** A snapshot of what the unit sees now; after the seal, of the survivors. */
  get context(): LogicalContext {
    return new LogicalContext(this.cell.share())
  }

  /** @internal What `cancelWith: 'request'` means for a task spawned here. */
  get scope(): RequestScope {
    return this
  }

  /**
   * Runs `fn` in the unit; what it sets is seen by all later runs. A promise that it returns holds off the seal.
   *
   * @throws {ScopeClosedError} after the seal.
   */
  run<Args extends unknown[], R>(fn: (...args: Args) => R, ...args: Args): R {
    if (this.sealed) throw new ScopeClosedError(this.name)
    return storage.run(this.cell, () => {
      // Made in the first run, so that later entries find other libraries' contexts as they were at the opening.
      this.#entry ??= captureEntry()
      return this.hold(fn(...args))
    })
  }

  /** @internal Calls `fn` in the unit as its first `run` found it: cheap, and also after the seal. */
  reenter<This, Args extends unknown[], R>(fn: (this: This, ...args: Args) => R, receiver: This, ...args: Args): R {
    // Who is in the unit already may have other libraries' contexts around it, a span's for one: those stay.
    if (this.#entry === undefined || storage.getStore() === this.cell) return fn.apply(receiver, args)
    return this.#entry.runInAsyncScope(fn, receiver, ...args)
  }

  /** @internal Holds off the seal until a promise has settled; gives back what it was given. */
  hold<R>(result: R): R {
    if (!isThenable(result)) return result
    this.#pending++
    const settled = () => {
      this.#pending--
      this.#sealIfOver()
    }
    result.then(settled, settled)
    return result
  }

  /** Aborts the signal, and the tasks that asked to be cancelled with the request. */
  abort(reason: unknown): void {
    ;(this.#signal ??= new LazySignal()).abort(reason)
    abortAll(this.#tied, reason)
  }

  /** @internal Aborts `task` with this scope, until the function it returns is called. */
  tie(task: Abortable): () => void {
    if (this.#signal?.aborted) task.abort(this.#signal.signal.reason)
    this.#tied.add(task)
    return () => this.#tied.delete(task)
  }

  /** Nothing more begins; the scope seals when what has begun is over. A second close does nothing. */
  close(): void {
    this.#closed = true
    this.#sealIfOver()
  }

  override late(operation: 'read' | 'write', variable: string): void {
    this.settings.lateUse.seen(operation, variable, this.name)
  }

  #sealIfOver(): void {
    if (!this.#closed || this.#pending > 0 || this.sealed) return
    this.sealCells(this.cell)
    this.onSealed?.()
    this.onSealed = undefined
  }
}
