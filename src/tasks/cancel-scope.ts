import { start } from '../context/block.ts'
import type { View } from '../context/cell.ts'
import { root, storage } from '../context/storage.ts'
import { isCancellationError } from './cancellation-error.ts'
import { Follower } from './follow.ts'
import { Link, LinkedList } from './linked-list.ts'
import type { RequestScope } from './request-scope.ts'
import { after, TimeLimit } from './timer.ts'
import type { Unit } from './unit.ts'

interface CancelScopeOptions {
  /** Ends the work after a time. The code that creates the scope sets the timer. */
  limit?: { readonly ms: number; readonly error: () => Error }
  /** Keeps the cancellation and the deadline of the parent away. */
  shielded?: boolean
  /** The unit whose outermost scope this is. */
  owner?: Unit
}

/**
 * Cancels a piece of work: a request, a task, or a call inside one of these. A scope has a signal and a deadline, and no
 * values: those belong to the unit.
 *
 * Invariants:
 *
 * 1. A scope aborts at most once. Its first reason stays.
 * 2. A scope attaches when its signal or `aborted` is read, and when a child attaches. Before that it costs one object:
 *    no AbortController, no listener, no timer.
 * 3. An attached scope is in its parent's list of children, and its parent is attached.
 * 4. An abort reaches every attached scope below, with one reason. A scope that attaches later takes over the abort of
 *    its parent at once.
 * 5. No method calls itself for a parent or a child: the depth of the stack does not depend on the depth of the tree.
 * 6. A scope that ended and has no attached child is detached. It holds no timer and no listener.
 * 7. When a unit ends, its deadline ends nothing any more.
 */
export class CancelScope {
  #parent: CancelScope | undefined
  /** The last scope on the way up; a shield, or the scope of a unit that nothing else cancels. */
  #outermost: CancelScope
  /** The earliest limit of this scope and those around it, without the outermost one, which can still change. */
  #limit: TimeLimit | undefined
  readonly #owner: Unit | undefined
  /** The listeners of the signal run in this cell: that of the cancelled work. */
  #cell: View | undefined
  #controller: AbortController | undefined
  #children: LinkedList<Link<CancelScope>> | undefined
  /** The place in the parent's list of children. */
  #link: Link<CancelScope> | undefined
  /** The place among what follows a second source. */
  #second: { leave(): void } | undefined
  #disarm: (() => void) | undefined
  #attached = false
  #aborted = false
  #reason: unknown
  #ended = false

  /** @internal */
  constructor(parent: CancelScope | undefined, { limit, shielded = false, owner }: CancelScopeOptions = {}) {
    this.#owner = owner
    this.#parent = parent
    this.#outermost = parent === undefined || shielded ? this : parent.#outermost
    // The limit of the outermost scope can still change.
    if (parent !== undefined && !shielded && parent !== this.#outermost) this.#limit = parent.#limit
    if (limit === undefined) return
    const own = new TimeLimit(this, limit.ms, limit.error)
    if (this.#limit === undefined || own.at < this.#limit.at) this.#limit = own
  }

  /** Aborts when the work has to stop. Costs nothing until it is read. */
  get signal(): AbortSignal {
    if (!this.#ended) this.#attach()
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#aborted) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** The time at which the signal aborts at the latest, in milliseconds since the epoch. */
  get deadline(): number | undefined {
    return this.due?.deadline
  }

  /** @internal The limit that is over first. */
  get due(): TimeLimit | undefined {
    const inner = this.#limit
    const outer = this.#outermost.#limit
    return inner === undefined || (outer !== undefined && outer.at <= inner.at) ? outer : inner
  }

  /** @internal Attaches the scope, so that the answer is the current one. */
  get aborted(): boolean {
    if (!this.#ended) this.#attach()
    return this.#aborted
  }

  /** @internal Undefined until the abort has reached this scope. */
  get reason(): unknown {
    return this.#reason
  }

  /** @internal The request that it belongs to, or is cancelled with. */
  get request(): RequestScope | undefined {
    return this.#outermost.#owner?.ownRequest
  }

  /** @internal The unit whose code runs in this scope. */
  get unit(): Unit | undefined {
    let [owner, outer] = [this.#owner, this.#parent]
    for (; owner === undefined && outer !== undefined; outer = outer.#parent) owner = outer.#owner
    return owner
  }

  /** @internal */
  get shielded(): boolean {
    return this.#outermost.#parent !== undefined
  }

  /** @internal The parent, unless this scope keeps its cancellation away. */
  get source(): CancelScope | undefined {
    return this.#outermost === this ? undefined : this.#parent
  }

  /** @internal This scope; for work that continues after the end of its scope, the next one outside that has not ended. */
  get lasting(): CancelScope | undefined {
    let outer = this.#isLeft ? this.#parent : this
    while (outer !== undefined && outer.#isLeft) outer = outer.#parent
    return outer
  }

  /** @internal Aborts this scope and all attached ones below. */
  abort(reason?: unknown): void {
    CancelScope.#abortAll([this], reason ?? new DOMException('The work was aborted.', 'AbortError'))
  }

  /** @internal Cancels the work with a second source too. The deadline is that of the parent. */
  cancelWith(source: CancelScope | AbortSignal): void {
    if (source.aborted) return this.abort(source.reason)
    if (source instanceof AbortSignal) return void (this.#second = new Follower(source, this))
    source.#attach()
    const link = source.#add(this)
    this.#second = { leave: () => source.#remove(link) }
  }

  /** @internal Sets the deadline of a unit; of two, the earlier one counts. The scope sets its timer when it attaches. */
  expireAt(deadline: number, error: () => Error): void {
    if (this.#ended || (this.#limit !== undefined && deadline >= this.#limit.deadline)) return
    this.#limit = new TimeLimit(this, deadline - Date.now(), error, deadline)
    if (this.#attached) this.#arm()
  }

  /** @internal The deadline is over: aborts the scope that has set it, and returns the reason. */
  expire(): unknown {
    if (!this.#ended) this.#attach()
    this.due?.expire()
    return this.#reason
  }

  /** @internal Whether an error says only that the work stopped because it was cancelled. */
  isCancellation(error: unknown): boolean {
    return this.aborted && isCancellationError(error, this.#reason)
  }

  /** @internal Calls `fn` with this scope, inside it, with the values of the caller. A lazy thenable starts inside too. */
  run<R>(fn: (scope: this) => R): R {
    const cell = storage.getStore()
    if (cell === undefined) return start(fn(this))
    this.#cell = cell.within(this)
    return storage.run(this.#cell, () => start(fn(this)))
  }

  /** @internal The work ended. Calls that began inside it and continue are still cancelled with the scopes outside. */
  end(): void {
    this.#ended = true
    this.#stopTimer()
    if (this.#owner !== undefined) this.#limit = undefined
    this.#detachIfIdle()
  }

  /** @internal Ends, and releases everything around it: a task may be kept long after its end. */
  leave(): void {
    this.end()
    this.#detach()
    this.#parent = undefined
    this.#outermost = this
  }

  /** Attaches this scope and those around it, the outermost one first. */
  #attach(): void {
    if (this.#attached) return
    let chain: CancelScope[] | undefined
    for (let outer = this.source; outer !== undefined && !outer.#attached; outer = outer.source) {
      ;(chain ??= []).push(outer)
    }
    for (let outer = chain?.pop(); outer !== undefined; outer = chain?.pop()) outer.#attachToSource()
    this.#attachToSource()
  }

  #attachToSource(): void {
    const source = this.source
    this.#attached = true
    if (this.#aborted) return
    if (source === undefined) this.#arm()
    else if (source.#aborted) this.abort(source.#reason)
    else this.#link = source.#add(this)
  }

  #add(child: CancelScope): Link<CancelScope> {
    const link = new Link(child)
    ;(this.#children ??= new LinkedList()).add(link)
    return link
  }

  #remove(link: Link<CancelScope>): void {
    this.#children?.delete(link)
    this.#detachIfIdle()
  }

  get #isLeft(): boolean {
    return this.#ended && !this.#aborted && this.#owner === undefined
  }

  get #isIdle(): boolean {
    return this.#ended && this.#attached && (this.#children?.size ?? 0) === 0
  }

  #detachIfIdle(): void {
    let outer = this.#isIdle ? this.#detach() : undefined
    while (outer !== undefined && outer.#isIdle) outer = outer.#detach()
  }

  /** Returns the scope that may have lost its last child. */
  #detach(): CancelScope | undefined {
    this.#attached = false
    this.#stopTimer()
    const source = this.source
    if (this.#link !== undefined && source !== undefined) source.#children?.delete(this.#link)
    this.#link = undefined
    this.#second?.leave()
    this.#second = undefined
    return source
  }

  /** Starts the timer of a unit's deadline. Other limits have a timer of their own. */
  #arm(): void {
    this.#stopTimer()
    const limit = this.#limit
    if (limit === undefined || this.#owner === undefined || this.#aborted) return
    const { leftMs } = limit
    // A timer keeps the contexts in which it is set.
    if (leftMs > 0) this.#disarm = root.runInAsyncScope(() => after(leftMs, () => limit.expire(), { ref: false }))
    else limit.expire()
  }

  #stopTimer(): void {
    this.#disarm?.()
    this.#disarm = undefined
  }

  /** Leaves the children to the caller, at the end of `scopes`. */
  #abortAlone({ scopes, reason }: Abort): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#reason = reason
    this.#stopTimer()
    // Without a cell the listeners run outside any unit, like the work.
    const cell = (this.#owner === undefined ? this.#cell : this.#owner.cell) as View
    if (this.#controller !== undefined) storage.run(cell, () => this.#controller?.abort(reason))
    this.#owner?.cancelled()
    for (const { item } of this.#children?.items.toReversed() ?? []) scopes.push(item)
    this.#children = undefined
  }

  /** Aborts these scopes and all below them: a scope before its children, and the children in their order. */
  static #abortAll(scopes: CancelScope[], reason: unknown): void {
    let abort: Abort | undefined = { scopes, reason }
    if (nesting === maxNesting) return void postponed.push(abort)
    nesting++
    try {
      while (abort !== undefined) {
        const scope: CancelScope | undefined = abort.scopes.pop()
        if (scope === undefined) abort = nesting === 1 ? postponed.pop() : undefined
        else scope.#abortAlone(abort)
      }
    } finally {
      nesting--
    }
  }
}

/** Scopes that are still to abort; the last one is next. */
interface Abort {
  readonly scopes: CancelScope[]
  readonly reason: unknown
}

/** A listener may abort another scope. Aborts nested deeper wait for the outermost one, to keep the stack short. */
const maxNesting = 50
let nesting = 0
const postponed: Abort[] = []
