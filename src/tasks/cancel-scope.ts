import { type Cell, currentCell } from '../context/cell.ts'
import { root, storage } from '../context/storage.ts'
import { Link, LinkedList } from './linked-list.ts'
import type { RequestScope } from './request-scope.ts'
import { after } from './timer.ts'
import type { Unit } from './unit.ts'

/** A time, and the error that says it is over. */
export interface TimeLimit {
  readonly deadline: number
  readonly error: () => Error
}

interface CancelScopeOptions {
  /** Counts if it comes before the parent's. Whoever makes the scope keeps the time. */
  limit?: TimeLimit
  /** Keeps off the parent's cancellation, and its deadline. */
  shielded?: boolean
  /** The unit that this is the outermost scope of. */
  owner?: Unit
}

/** What cancels the work that it is handed to: a scope, or a task itself. */
export interface Canceller {
  /** Aborts when the work is to stop. Costs nothing until it is read. */
  readonly signal: AbortSignal
  /** When that happens at the latest, in milliseconds since the epoch. */
  readonly deadline: number | undefined
  /** @internal */
  expire(): unknown
}

/** Something that can be told to stop. */
export interface Abortable {
  abort(reason: unknown): void
}

/**
 * What cancels a stretch of work: a request, a task, or a call inside these. It has no values: those stay the unit's.
 * A scope asks its parent not before somebody asks it, so that a scope that nobody watches costs one object: no
 * AbortController, no listener, no timer.
 */
export class CancelScope implements Canceller, Abortable {
  #parent: CancelScope | undefined
  #limit: TimeLimit | undefined
  readonly #shielded: boolean
  readonly #owner: Unit | undefined
  /** Where the listeners of its signal run: with the work that is stopped, whoever stops it. */
  #cell: Cell | undefined
  #controller: AbortController | undefined
  #targets: LinkedList<Link<Abortable>> | undefined
  #untie: (() => void) | undefined
  #disarm: (() => void) | undefined
  #keepsTime = false
  #aborted = false
  #reason: unknown
  #expired = false
  #ended = false

  constructor(parent: CancelScope | undefined, { limit, shielded = false, owner }: CancelScopeOptions = {}) {
    this.#parent = parent
    const outer = parent?.deadline
    this.#limit = limit !== undefined && (outer === undefined || limit.deadline < outer) ? limit : undefined
    this.#shielded = shielded
    this.#owner = owner
  }

  /** Aborts when the work is to stop. Costs nothing until it is read. */
  get signal(): AbortSignal {
    if (!this.#ended) this.#ask()
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#aborted) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** When that happens at the latest, in milliseconds since the epoch. */
  get deadline(): number | undefined {
    return this.#limit?.deadline ?? this.#parent?.deadline
  }

  /** @internal */
  get aborted(): boolean {
    if (!this.#ended) this.#ask()
    return this.#aborted
  }

  /** @internal */
  get reason(): unknown {
    return this.#reason
  }

  /** @internal The request that it belongs to, or is cancelled with. */
  get request(): RequestScope | undefined {
    return this.#parent === undefined ? this.#owner?.ownRequest : this.#parent.request
  }

  /** @internal */
  get shielded(): boolean {
    return this.#shielded || (this.#parent?.shielded ?? false)
  }

  /** @internal Itself; for work that goes on after its end, what is around it. */
  get lasting(): CancelScope | undefined {
    if (!this.#ended || this.#aborted || this.#owner !== undefined) return this
    return this.#parent?.lasting
  }

  /** @internal */
  abort(reason?: unknown): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#reason = reason ?? new DOMException('The work was aborted.', 'AbortError')
    this.#disarm?.()
    this.#disarm = undefined
    const controller = this.#controller
    // Without a cell that is outside any unit, as the work itself.
    const cell = this.#owner === undefined ? this.#cell : this.#owner.cell
    if (controller !== undefined) storage.run(cell as Cell, () => controller.abort(this.#reason))
    if (this.#targets !== undefined) abortAll(this.#targets, this.#reason)
    this.#owner?.cancelled()
  }

  /** @internal Aborts `target` with this, at once if that has happened, until the function that it returns is called. */
  onAbort(target: Abortable): () => void {
    this.#ask()
    if (this.#aborted) {
      target.abort(this.#reason)
      return () => {}
    }
    const untie = tieIn((this.#targets ??= new LinkedList()), target)
    return () => {
      untie()
      if (this.#ended) this.#letGoUnlessNeeded()
    }
  }

  /** @internal Aborts with one more source, from now on. The deadline is that of the latest scope. */
  cancelWith(source: CancelScope | AbortSignal): void {
    const earlier = this.#untie
    if (source instanceof CancelScope) this.#parent = source
    const untie = source instanceof CancelScope ? source.onAbort(this) : follow(source, this)
    this.#untie = earlier === undefined ? untie : () => [earlier, untie].forEach((undo) => undo())
  }

  /** @internal Sets a time, of which the scope keeps the timer when somebody asks; of two, the earlier one counts. */
  expireAt(limit: TimeLimit): void {
    if (this.#limit !== undefined && limit.deadline >= this.#limit.deadline) return
    this.#limit = limit
    this.#keepsTime = true
    if (this.#disarm === undefined) return
    this.#disarm()
    this.#disarm = undefined
    this.#arm()
  }

  /** @internal The deadline is over: lets whoever has set it abort, and gives the reason. */
  expire(): unknown {
    this.#expired = true
    if (!this.#ended) this.#tieToParent()
    if (this.#limit === undefined) this.#parent?.expire()
    else this.abort(this.#limit.error())
    return this.#reason
  }

  /** @internal Whether an error says no more than that the work has stopped because it was told to. */
  isCancellation(error: unknown): boolean {
    if (!this.aborted) return false
    if (error === this.#reason) return true
    const { name, code, cause } = (error ?? {}) as { name?: unknown; code?: unknown; cause?: unknown }
    // The form of the platform, with which `fetch` and Node's own functions reject.
    return cause === this.#reason || name === 'AbortError' || code === 'ABORT_ERR'
  }

  /** @internal Whether an error says only that the time is over. */
  isTimeout(error: unknown): boolean {
    return this.#expired && this.isCancellation(error)
  }

  /** @internal Runs `fn` with the caller's own values, inside this scope. */
  run<R>(fn: () => R): R {
    const cell = storage.getStore()
    if (cell === undefined) return fn()
    this.#cell = cell.within(this)
    return storage.run(this.#cell, fn)
  }

  /** @internal */
  end(): void {
    this.#ended = true
    this.#letGoUnlessNeeded()
  }

  /** @internal Ends, and holds nothing that is around it any more. */
  leave(): void {
    this.#ended = true
    this.#untie?.()
    this.#untie = undefined
    this.#parent = undefined
  }

  /** Not before somebody asks. */
  #ask(): void {
    this.#tieToParent()
    if (this.#keepsTime && !this.#aborted) this.#arm()
  }

  #tieToParent(): void {
    if (this.#untie === undefined && this.#parent !== undefined) this.#untie = this.#parent.onAbort(this)
  }

  #arm(): void {
    if (this.#disarm !== undefined || this.#limit === undefined) return
    const leftMs = this.#limit.deadline - Date.now()
    if (leftMs <= 0) {
      this.expire()
      return
    }
    // A timer holds the contexts in which it is set, and none of it is needed.
    this.#disarm = root.runInAsyncScope(() => after(leftMs, () => this.expire(), { ref: false }))
  }

  /** A call that was begun in here, and goes on after the end, is still cancelled with what is around both. */
  #letGoUnlessNeeded(): void {
    if (this.#targets !== undefined && this.#targets.size > 0) return
    this.#untie?.()
    this.#untie = undefined
    this.#disarm?.()
    this.#disarm = undefined
  }
}

/** What cancels the current code; undefined outside any unit. */
export function currentCancelScope(): CancelScope | undefined {
  return narrowScope() ?? (currentCell()?.unit as Unit | undefined)?.cancelScope
}

/**
 * The signal of the current work, without a request at hand: of the request or task that the code is part of, or,
 * inside a combinator, of the narrowest one around it. Undefined outside any unit.
 *
 * Pass it on to what can be stopped: `fetch(url, { signal: currentSignal() })`.
 */
export function currentSignal(): AbortSignal | undefined {
  return currentCancelScope()?.signal
}

/**
 * When the current work's signal aborts at the latest, in milliseconds since the epoch: the earliest of the request's
 * deadline and the limits around the code. Undefined where there is none.
 */
export function currentDeadline(): number | undefined {
  return (narrowScope() ?? (currentCell()?.unit as Unit | undefined))?.deadline
}

function narrowScope(): CancelScope | undefined {
  return (storage.getStore()?.innerScope as CancelScope | undefined)?.lasting
}

/** Who listens to which signal. One listener a signal: one listener a task would make ten thousand tasks quadratic. */
const followers = new WeakMap<AbortSignal, LinkedList<Link<Abortable>>>()

/** Lets `target` abort with `signal`, until the function it returns is called. */
function follow(signal: AbortSignal, target: Abortable): () => void {
  if (signal.aborted) {
    target.abort(signal.reason)
    return () => {}
  }
  const known = followers.get(signal)
  const targets = known ?? new LinkedList<Link<Abortable>>()
  if (known === undefined) {
    followers.set(signal, targets)
    signal.addEventListener('abort', () => abortAll(targets, signal.reason), { once: true })
  }
  return tieIn(targets, target)
}

/** A target may be tied to several. */
function tieIn(targets: LinkedList<Link<Abortable>>, target: Abortable): () => void {
  const link = new Link(target)
  targets.add(link)
  return () => targets.delete(link)
}

/** Those that a listener adds meanwhile are not aborted: a listener that starts its work again would have no end. */
function abortAll(targets: LinkedList<Link<Abortable>>, reason: unknown): void {
  for (const { item: target } of targets.items) target.abort(reason)
}
