/** What can stand in a list, in one at a time. It leads to its neighbours there. */
export interface Listed<Item> {
  /** @internal */
  before: Item | undefined
  /** @internal */
  after: Item | undefined
}

/**
 * A list that is entered at its end and left anywhere, in constant time. No `Set`: the tables that a Set outgrows lead
 * from one to the next, and once one of them is old, all that came and went since lives until a full collection.
 */
export class LinkedList<Item extends Listed<Item>> {
  #first: Item | undefined
  #last: Item | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The items of now, in order. */
  get items(): Item[] {
    const items: Item[] = []
    for (let item = this.#first; item !== undefined; item = item.after) items.push(item)
    return items
  }

  /** Of an item that stands in no other list. */
  has(item: Item): boolean {
    return item.before !== undefined || item === this.#first
  }

  add(item: Item): void {
    item.before = this.#last
    if (this.#last === undefined) this.#first = item
    else this.#last.after = item
    this.#last = item
    this.#size++
  }

  /** A second time it does nothing. */
  delete(item: Item): void {
    if (!this.has(item)) return
    const { before, after } = item
    if (before === undefined) this.#first = after
    else before.after = after
    if (after === undefined) this.#last = before
    else after.before = before
    // What has left leads to no other item: whoever still holds it does not hold those that came after it.
    item.before = undefined
    item.after = undefined
    this.#size--
  }

  /** Takes the first item. */
  shift(): Item | undefined {
    const first = this.#first
    if (first !== undefined) this.delete(first)
    return first
  }
}

/** A place in a list for what stands in another list already, or in several. */
export class Link<T> implements Listed<Link<T>> {
  readonly item: T
  before: Link<T> | undefined = undefined
  after: Link<T> | undefined = undefined

  constructor(item: T) {
    this.item = item
  }
}

/** What is under way; says when nothing is. */
export class InFlight<Item extends Listed<Item>> extends LinkedList<Item> {
  #idle: PromiseWithResolvers<void> | undefined

  /** Resolves when nothing is under way, maybe only for a moment. */
  async idle(): Promise<void> {
    if (this.size > 0) await (this.#idle ??= Promise.withResolvers<void>()).promise
  }

  override delete(item: Item): void {
    super.delete(item)
    if (this.size > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }
}
