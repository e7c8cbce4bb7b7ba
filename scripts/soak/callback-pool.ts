/** A pool with callbacks: `release` calls the next waiting callback on the stack of its caller. */
export class CallbackPool {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(size: number) {
    this.#free = size
  }

  /** Calls `callback` when a connection is free. The callback must call `release` later. */
  acquire(callback: () => void): void {
    if (this.#free === 0) {
      this.#waiting.push(callback)
      return
    }
    this.#free--
    callback()
  }

  release(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
  }
}
