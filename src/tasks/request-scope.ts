import { start, type Started } from '../context/block.ts'
import { bridge } from '../context/bridge.ts'
import { bind } from '../context/bind.ts'
import { Cell, currentCell } from '../context/cell.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { type AsyncSnapshot, captureSnapshot, storage } from '../context/storage.ts'
import { DeadlineError, ScopeClosedError } from '../errors.ts'
import { keepShape } from '../callbacks.ts'
import { anAmount, checkArgument, checkFunction, checkOptions } from '../options.ts'
import { scopeClose, scopeEnd, scopeOpen, scopeSeal } from './lifecycle.ts'
import { spawnChecks, type SpawnOptions } from './spawn.ts'
import { callingUnit, origins, Unit, type UnitSettings } from './unit.ts'

/**
 * The unit of one request, message or job run. It opens when it is created, runs functions with `run`, and closes once.
 * When it is closed and no promise that `run` returned is pending, it seals: its values are dropped, except the
 * survivors.
 */
export class RequestScope extends Unit implements Disposable {
  name: string
  /** @internal Replaced when the route is known. */
  settings: UnitSettings
  /** @internal */
  readonly cell: Cell
  /** @internal */
  readonly origin: number = ++origins.last
  /** @internal The status of the response, once it has closed. */
  status: number | undefined = undefined
  /** @internal The last failure of its work, until the seal. Only kept if there is a listener for the end of scopes. */
  failure: unknown = undefined
  #snapshot: AsyncSnapshot | undefined
  #pending = 0
  /** The units whose code waits for a run, one for each run. */
  #callers: Unit[] | undefined
  #closed = false
  #onClose: (() => void)[] | undefined
  #follower: { sealed(): void } | undefined

  /** @internal Use `openScope`, `runInScope` or a middleware. */
  constructor(name: string, context: LogicalContext, settings: UnitSettings) {
    super()
    this.name = name
    this.settings = settings
    this.cell = new Cell(context.toValues(), this)
    this.observation = bridge.current?.opened(this)
    if (scopeOpen.hasSubscribers) this.#publish(scopeOpen)
  }

  /** @internal Whether nothing more begins. The seal may come later. */
  get closed(): boolean {
    return this.#closed
  }

  /** A snapshot of the current values of the unit; after the seal, of the survivors. */
  get context(): LogicalContext {
    return new LogicalContext(this.cell.share())
  }

  /** @internal */
  override get ownRequest(): RequestScope {
    return this
  }

  /** @internal */
  override get callers(): readonly (Unit | undefined)[] {
    return this.#callers ?? []
  }

  /** @internal What `cancelWith: 'request'` means for a task spawned here. */
  override get request(): RequestScope {
    return this
  }

  /**
   * Runs `fn` in the unit and returns its result. Later runs see what it sets. A promise that `fn` returns postpones the
   * seal until it settles. A thenable that `fn` returns starts in the unit, and `run` returns a promise for it. A failure
   * is the caller's.
   *
   * @throws {ScopeClosedError} after the seal.
   * @throws {TypeError} if `fn` is not a function.
   */
  run<Args extends unknown[], R extends PromiseLike<unknown> | null | undefined>(
    fn: (...args: Args) => R,
    ...args: Args
  ): Started<R>
  run<Args extends unknown[], R>(fn: (...args: Args) => R, ...args: Args): R
  run<Args extends unknown[], R>(fn: (...args: Args) => R, ...args: Args): R {
    checkFunction('RequestScope.run', fn)
    if (this.sealed) throw new ScopeClosedError(this.name)
    const { cell, observation } = this
    const caller = callingUnit()
    // Code that is in the unit already may have a span of its own around it.
    if (observation === undefined || currentCell() === cell)
      return storage.run(cell, runObserved<Args, R>, this, caller, fn, args)
    return storage.run(cell, () => observation.around(() => runObserved(this, caller, fn, args)))
  }

  /**
   * Returns a listener for events, such as the messages of a WebSocket. Each event runs `fn` as a task of the unit's
   * group, with the values of the unit at that moment: by its policy a unit of its own, or with `share` a part of this
   * one. What `fn` throws, a promise that rejects, and a group that is full or closed go to `onError`. The listener
   * returns nothing and never throws. It has the name, the length and the receiver of `fn`.
   *
   * The options are those of `spawn`. The name of the tasks is by default the function's, or `'listener'`.
   *
   * @throws {ScopeClosedError} after the seal. A listener that exists continues, with the survivors.
   * @throws {TypeError} if `fn` is not a function, or for an option that is unknown or of the wrong type.
   */
  listener<This, Args extends unknown[]>(
    fn: (this: This, ...args: Args) => unknown,
    options?: SpawnOptions,
  ): (this: This, ...args: Args) => void {
    const owner = 'RequestScope.listener'
    checkFunction(owner, fn)
    const { name = fn.name || 'listener', ...others } = checkOptions(owner, options, spawnChecks)
    const checked = { name, ...others }
    const { group } = this.settings
    const onEvent = function (this: This, ...args: Args): void {
      try {
        group.spawn(() => fn.apply(this, args), checked)
      } catch (error) {
        group.adopt(name, Promise.reject(error), others.onError)
      }
    }
    return keepShape(
      fn,
      this.run(() => bind(onEvent)),
    )
  }

  /** @internal Runs a middleware's first function, which returns no promise, and captures the snapshot. */
  begin(fn: () => void): void {
    if (this.observation === undefined) storage.run(this.cell, captureAndRun, this, fn)
    else this.run(captureAndRun, this, fn)
  }

  /** @internal Keeps the current contexts, also of other libraries, for `runInSnapshot`. A second call does nothing. */
  captureSnapshot(): void {
    this.#snapshot ??= captureSnapshot()
  }

  /** @internal Calls `fn` in the unit and in the contexts of the snapshot. Cheap, and allowed after the seal. */
  runInSnapshot<This, Args extends unknown[], R>(
    fn: (this: This, ...args: Args) => R,
    receiver: This,
    ...args: Args
  ): R {
    // Code that is in the unit already may have a block or contexts of other libraries around it: those stay.
    if (this.#snapshot === undefined || currentCell()?.unit === this) return fn.apply(receiver, args)
    return this.#snapshot.runInAsyncScope(fn, receiver, ...args)
  }

  /** @internal Calls `sealed` of the follower once, after the seal. One only: for the middleware that opened the scope. */
  onSeal(follower: { sealed(): void }): void {
    this.#follower = follower
  }

  /** @internal Of the middleware that opened the scope; undefined after the seal. */
  get follower(): unknown {
    return this.#follower
  }

  /** @internal Calls `fn` once, at the close. */
  onClose(fn: () => void): void {
    ;(this.#onClose ??= []).push(fn)
  }

  /** @internal Postpones the seal until `release`. */
  retain(): void {
    this.#pending++
  }

  /** @internal */
  release(caller?: Unit): void {
    this.answer(caller)
    this.#pending--
    this.#sealIfOver()
  }

  /** @internal The code of a unit waits for a run, until `answer`. */
  called(caller: Unit | undefined): void {
    if (caller !== undefined && caller !== this) (this.#callers ??= []).push(caller)
  }

  /** @internal */
  answer(caller: Unit | undefined): void {
    const index = this.#callers?.indexOf(caller as Unit) ?? -1
    if (index >= 0) this.#callers?.splice(index, 1)
  }

  /**
   * @internal Postpones the seal until a promise settles, and returns a promise for its outcome. It calls `then` of a
   * foreign thenable once: a query builder, for example, runs its query at each call.
   */
  postponeSealUntil<R>(result: R, caller?: Unit): R {
    const started = start(result)
    if (!(started instanceof Promise)) {
      this.answer(caller)
      return started
    }
    this.retain()
    // With handlers on the promise itself, a rejection without a handler would not be reported.
    return started.then(
      (value: unknown) => {
        this.release(caller)
        return value
      },
      (error: unknown) => {
        this.failed(error)
        this.release(caller)
        throw error
      },
    ) as R
  }

  /** @internal Called with an error of its work, also if a handler of errors replies to it. */
  failed(error: unknown): void {
    this.observation?.failed?.(error)
    if (scopeEnd.hasSubscribers && !this.sealed) this.failure = error
  }

  /**
   * Sets the deadline, in milliseconds since the epoch. Of two deadlines the earlier one counts. After the seal it does
   * nothing.
   *
   * @throws {TypeError} if `deadline` is not a finite number of at least 0.
   */
  expireAt(deadline: number): void {
    checkArgument('RequestScope.expireAt', anAmount, deadline)
    this.cancelScope.expireAt(deadline, () => new DeadlineError(this.name))
  }

  /** Aborts the signal, and the tasks that are cancelled with the request. */
  abort(reason: unknown): void {
    this.cancelScope.abort(reason)
  }

  /** Closes the scope. It seals as soon as the promises of its runs have settled. A second call does nothing. */
  close(): void {
    if (this.#closed) return
    if (scopeClose.hasSubscribers) this.#publish(scopeClose)
    this.#closed = true
    for (const fn of this.#onClose ?? []) fn()
    this.#onClose = undefined
    this.#sealIfOver()
  }

  /** Closes the scope at the end of a `using` declaration's block. */
  [Symbol.dispose](): void {
    this.close()
  }

  /** @internal Seals a closed scope, whatever is pending. */
  sealNow(): void {
    this.#pending = 0
    this.#sealIfOver()
  }

  #publish(channel: typeof scopeOpen): void {
    storage.run(this.cell, () => channel.publish({ scope: this }))
  }

  #sealIfOver(): void {
    if (!this.#closed || this.#pending > 0 || this.sealed) return
    this.observation?.ended('done', undefined)
    this.observation = undefined
    if (scopeEnd.hasSubscribers) storage.run(this.cell, () => scopeEnd.publish({ scope: this }))
    this.failure = undefined
    this.seal()
    this.endCancelScope()
    if (scopeSeal.hasSubscribers) this.#publish(scopeSeal)
    this.#callers = undefined
    const follower = this.#follower
    // An idle connection keeps the scope, and the follower can refer to the whole request.
    this.#follower = undefined
    follower?.sealed()
  }
}

function captureAndRun(scope: RequestScope, fn: () => void): void {
  scope.captureSnapshot()
  fn()
}

/** Calls `fn` in the cell of the scope. All handlers are attached in here, so that they keep no other context alive. */
function runObserved<Args extends unknown[], R>(
  scope: RequestScope,
  caller: Unit | undefined,
  fn: (...args: Args) => R,
  args: Args,
): R {
  scope.called(caller)
  try {
    return scope.postponeSealUntil(fn(...args), caller)
  } catch (error) {
    scope.failed(error)
    scope.answer(caller)
    throw error
  }
}
