import { bridge } from '../context/bridge.ts'
import { Cell, currentCell } from '../context/cell.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { type AsyncSnapshot, captureSnapshot, processSingleton, storage } from '../context/storage.ts'
import { DeadlineError, ScopeClosedError } from '../errors.ts'
import { scopeClose, scopeOpen, scopeSeal } from './lifecycle.ts'
import { isThenable } from './thenable.ts'
import { Unit, type UnitSettings } from './unit.ts'

/**
 * The life of one unit of work: a request, a message, a run of a job. It is opened by its making, entered with `run`,
 * and closed once; when it is closed and nothing that `run` started is pending, it seals: its values are dropped but
 * for the survivors.
 */
export class RequestScope extends Unit {
  name: string
  /** @internal Replaced when the route is known. */
  settings: UnitSettings
  /** @internal */
  readonly cell: Cell
  /** @internal */
  readonly origin: number = ++origins.last
  #entry: AsyncSnapshot | undefined
  #pending = 0
  #closed = false
  #onSeal: (() => void) | undefined

  /** @internal Use `runInScope`, or a middleware. */
  constructor(name: string, context: LogicalContext, settings: UnitSettings) {
    super()
    this.name = name
    this.settings = settings
    this.cell = new Cell(context.values, this)
    this.observation = bridge.current?.opened(this)
    if (scopeOpen.hasSubscribers) storage.run(this.cell, () => scopeOpen.publish({ scope: this }))
  }

  /** @internal Whether nothing more begins; the seal may be still to come. */
  get closed(): boolean {
    return this.#closed
  }

  /** A snapshot of what the unit sees now; after the seal, of the survivors. */
  get context(): LogicalContext {
    return new LogicalContext(this.cell.share())
  }

  /** @internal */
  override get ownRequest(): RequestScope {
    return this
  }

  /** @internal What `cancelWith: 'request'` means for a task spawned here. */
  override get request(): RequestScope {
    return this
  }

  /**
   * Runs `fn` in the unit; what it sets is seen by all later runs. A promise that it returns holds off the seal.
   *
   * @throws {ScopeClosedError} after the seal.
   */
  run<Args extends unknown[], R>(fn: (...args: Args) => R, ...args: Args): R {
    if (this.sealed) throw new ScopeClosedError(this.name)
    const { cell, observation } = this
    // Who is in the unit already may have a span of its own around it.
    if (observation === undefined || currentCell() === cell) return storage.run(cell, enter<Args, R>, this, fn, args)
    return storage.run(cell, () => observation.around(() => enter(this, fn, args)))
  }

  /** @internal Makes the contexts of here, other libraries' too, those that `runInSnapshot` goes back to; the first time. */
  captureSnapshot(): void {
    this.#entry ??= captureSnapshot()
  }

  /** @internal Calls `fn` in the unit as its anchor found it: cheap, and also after the seal. */
  runInSnapshot<This, Args extends unknown[], R>(
    fn: (this: This, ...args: Args) => R,
    receiver: This,
    ...args: Args
  ): R {
    // Who is in the unit already may have other libraries' contexts around it, a span's for one: those stay.
    if (this.#entry === undefined || currentCell() === this.cell) return fn.apply(receiver, args)
    return this.#entry.runInAsyncScope(fn, receiver, ...args)
  }

  /** @internal Calls `fn` once, when the scope has sealed. One function only: for the middleware that opened the scope. */
  onSeal(fn: () => void): void {
    this.#onSeal = fn
  }

  /** @internal Holds off the seal until `release`. */
  retain(): void {
    this.#pending++
  }

  /** @internal */
  release(): void {
    this.#pending--
    this.#sealIfOver()
  }

  /**
   * @internal Holds off the seal until a promise has settled, and gives a promise for the same. A foreign thenable is
   * asked once: it may do its work anew at each `then`, as a query builder does.
   */
  hold<R>(result: R): R {
    if (!isThenable(result)) return result
    this.retain()
    // Handlers on the promise itself would hide a rejection that nobody handles.
    return (result instanceof Promise ? result : Promise.resolve(result)).then(
      (value: unknown) => {
        this.release()
        return value
      },
      (error: unknown) => {
        this.observation?.failed?.(error)
        this.release()
        throw error
      },
    ) as R
  }

  /** Sets the deadline, in milliseconds since the epoch; of two, the earlier one counts. */
  expireAt(deadline: number): void {
    this.cancelScope.expireAt({ deadline, error: () => new DeadlineError(this.name) })
  }

  /** Aborts the signal, and the tasks that asked to be cancelled with the request. */
  abort(reason: unknown): void {
    this.cancelScope.abort(reason)
  }

  /** Nothing more begins; the scope seals when what has begun is over. A second close does nothing. */
  close(): void {
    if (!this.#closed && scopeClose.hasSubscribers) storage.run(this.cell, () => scopeClose.publish({ scope: this }))
    this.#closed = true
    this.#sealIfOver()
  }

  #sealIfOver(): void {
    if (!this.#closed || this.#pending > 0 || this.sealed) return
    this.observation?.ended('done', undefined)
    this.observation = undefined
    this.seal()
    this.endCancelScope()
    if (scopeSeal.hasSubscribers) storage.run(this.cell, () => scopeSeal.publish({ scope: this }))
    this.#onSeal?.()
  }
}

/** Calls `fn`, in the scope's cell; all handlers are attached in here, so that they keep no other context. */
function enter<Args extends unknown[], R>(scope: RequestScope, fn: (...args: Args) => R, args: Args): R {
  if (scope.observation === undefined) return scope.hold(fn(...args))
  try {
    return scope.hold(fn(...args))
  } catch (error) {
    scope.observation?.failed?.(error)
    throw error
  }
}

/** Counted in one place for all copies of the package. */
const origins = processSingleton('origins', () => ({ last: 0 }))
