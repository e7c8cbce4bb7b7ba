/** First in, first out; an item may also be taken from the middle. All in constant time. */
export class Fifo<T extends object> {
  readonly #items = new Set<T>()
  /** Kept, because a new iterator would pass over all that was taken before. */
  #next: Iterator<T, undefined> | undefined

  get size(): number {
    return this.#items.size
  }

  add(item: T): void {
    this.#items.add(item)
  }

  delete(item: T): void {
    this.#items.delete(item)
  }

  shift(): T | undefined {
    if (this.#items.size === 0) return undefined
    const { value } = (this.#next ??= this.#items.values()).next()
    if (value !== undefined) this.#items.delete(value)
    return value
  }
}
