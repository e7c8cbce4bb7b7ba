/** What is under way; says when nothing is. */
export class InFlight<T> {
  readonly #items = new Set<T>()
  #idle: PromiseWithResolvers<void> | undefined

  get size(): number {
    return this.#items.size
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#items.values()
  }

  add(item: T): void {
    this.#items.add(item)
  }

  delete(item: T): void {
    this.#items.delete(item)
    if (this.#items.size > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }

  /** Resolves when nothing is under way, maybe only for a moment. */
  async idle(): Promise<void> {
    if (this.#items.size > 0) await (this.#idle ??= Promise.withResolvers<void>()).promise
  }
}
