/** First in, first out; an item may also be taken from the middle. All in constant time. */
export class Fifo<T> {
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
    let next = (this.#next ??= this.#items.values()).next()
    // It had come to the end before the items that are there now.
    if (next.done) next = (this.#next = this.#items.values()).next()
    if (next.done) return undefined
    this.#items.delete(next.value)
    return next.value
  }
}
