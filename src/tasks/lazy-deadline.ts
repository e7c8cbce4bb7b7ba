import { root } from '../context/storage.ts'
import { after } from './timer.ts'

/** A time at which something expires. The timer is not set before somebody wants to know: one a request is dear. */
export class LazyDeadline {
  /** In milliseconds since the epoch. */
  at: number
  readonly #expire: () => void
  #disarm: (() => void) | undefined

  constructor(at: number, expire: () => void) {
    this.at = at
    this.#expire = expire
  }

  get armed(): boolean {
    return this.#disarm !== undefined
  }

  /** Expires now if the time is over. */
  arm(): void {
    if (this.armed) return
    const leftMs = this.at - Date.now()
    // A timer holds the contexts in which it is set.
    if (leftMs > 0) this.#disarm = root.runInAsyncScope(() => after(leftMs, this.#expire, { ref: false }))
    else this.#expire()
  }

  disarm(): void {
    this.#disarm?.()
    this.#disarm = undefined
  }

  /** Of two times the earlier one counts. */
  advance(at: number): void {
    if (at >= this.at) return
    this.at = at
    if (!this.armed) return
    this.disarm()
    this.arm()
  }
}
