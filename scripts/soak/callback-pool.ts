/** A pool of the kind that calls back: who gives a connection back runs the next one's callback on his stack. */
export class CallbackPool {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(size: number) {
    this.#free = size
  }

  /** Calls back when a connection is free; whoever is called gives it back by `release`. */
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
