import type { Cell } from '../context/cell.ts'
import { storage } from '../context/storage.ts'
import type { TimeBound } from '../context/unit.ts'
import { type Abortable, Cancellation, saysCancelled } from './cancellation.ts'
import { narrow } from './narrowed-cell.ts'
import type { RequestScope } from './request-scope.ts'

/** What work is cancelled with: its request, its task, or a scope inside of these. */
export interface Canceller extends TimeBound {
  /** Aborts when the work is to stop. Costs nothing until it is read. */
  readonly signal: AbortSignal
  /** When that happens at the latest, in milliseconds since the epoch. */
  readonly deadline: number | undefined
  /** @internal The request that cancels the work, if one does. */
  readonly scope: RequestScope | undefined
  /** @internal Aborts `target` with this, until the function that it returns is called. */
  tie(target: Abortable): () => void
}

/** A time of the scope's own, and the error that says it is over. */
export interface TimeLimit {
  readonly deadline: number
  readonly error: () => Error
}

/** A stretch of a unit's work that can be cancelled apart from the rest. It has no values: those stay the unit's. */
export class CancelScope implements Canceller, Abortable {
  readonly deadline: number | undefined
  readonly #parent: Canceller | undefined
  /** Undefined also where the parent's deadline comes first. */
  readonly #limit: TimeLimit | undefined
  readonly #cancellation = new Cancellation()
  #cell: Cell | undefined
  #untie: (() => void) | undefined
  #ended = false
  #expired = false

  constructor(parent: Canceller | undefined, limit?: TimeLimit) {
    this.#parent = parent
    const outer = parent?.deadline
    this.#limit = limit !== undefined && (outer === undefined || limit.deadline < outer) ? limit : undefined
    this.deadline = this.#limit?.deadline ?? outer
  }

  get signal(): AbortSignal {
    if (!this.#ended) this.#tieToParent()
    return this.#cancellation.signal
  }

  get aborted(): boolean {
    if (!this.#ended) this.#tieToParent()
    return this.#cancellation.aborted
  }

  get reason(): unknown {
    return this.#cancellation.reason
  }

  get scope(): RequestScope | undefined {
    return this.#parent?.scope
  }

  get shielded(): boolean {
    return this.#parent?.shielded ?? false
  }

  /** Itself; for work that goes on after its end, what is around it. */
  get lasting(): Canceller | undefined {
    if (!this.#ended || this.#cancellation.aborted) return this
    return this.#parent instanceof CancelScope ? this.#parent.lasting : this.#parent
  }

  abort(reason: unknown): void {
    this.#cancellation.abort(reason, this.#cell)
  }

  tie(target: Abortable): () => void {
    this.#tieToParent()
    const untie = this.#cancellation.tie(target)
    return () => {
      untie()
      if (this.#ended) this.#untieUnlessNeeded()
    }
  }

  expire(): unknown {
    this.#expired = true
    if (!this.#ended) this.#tieToParent()
    if (this.#limit === undefined) this.#parent?.expire()
    else this.abort(this.#limit.error())
    return this.reason
  }

  /** Also of an abort of the parent's that nobody has asked for until now. */
  saysCancelled(error: unknown): boolean {
    return this.aborted && saysCancelled(error, this.#cancellation)
  }

  /** Whether an error says only that the time is over. */
  saysOver(error: unknown): boolean {
    return this.#expired && this.saysCancelled(error)
  }

  /** Runs `fn` in the caller's own cell, as it is seen from inside this scope. */
  run<R>(fn: () => R): R {
    const cell = storage.getStore()
    if (cell === undefined) return fn()
    this.#cell = narrow(cell, this)
    return storage.run(this.#cell, fn)
  }

  end(): void {
    this.#ended = true
    this.#untieUnlessNeeded()
  }

  /** Not before somebody asks. */
  #tieToParent(): void {
    if (this.#untie !== undefined || this.#parent === undefined) return
    this.#untie = this.#parent.tie(this)
  }

  /** A call that was begun in here, and goes on after the end, is still cancelled with what is around both. */
  #untieUnlessNeeded(): void {
    if (this.#cancellation.hasTargets) return
    this.#untie?.()
    this.#untie = undefined
  }
}
