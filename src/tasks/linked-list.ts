/** An item's place in a list. */
export class Link<T extends object> {
  /** Undefined when it has left the list. */
  item: T | undefined
  before: Link<T> = this
  after: Link<T> = this
  readonly #list: LinkedList<T>

  constructor(item: T | undefined, list: LinkedList<T>) {
    this.item = item
    this.#list = list
  }

  isIn(list: LinkedList<T>): boolean {
    return this.#list === list && this.item !== undefined
  }

  /** A second time it does nothing. */
  leave(): void {
    this.#list.delete(this)
  }
}

/**
 * A list that is entered at its end and left anywhere, in constant time. No `Set`: the tables that a Set outgrows lead
 * from one to the next, and once one of them is old, all that came and went since lives until a full collection.
 */
export class LinkedList<T extends object> {
  /** Stands behind the last item and before the first. */
  readonly #end: Link<T> = new Link<T>(undefined, this)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The items of now, in order. */
  get items(): T[] {
    const items: T[] = []
    for (let { item, after } = this.#end.after; item !== undefined; { item, after } = after) items.push(item)
    return items
  }

  add(item: T): Link<T> {
    const link = new Link(item, this)
    link.before = this.#end.before
    link.after = this.#end
    this.#end.before.after = link
    this.#end.before = link
    this.#size++
    return link
  }

  /** Takes the first item. */
  shift(): T | undefined {
    const first = this.#end.after
    const { item } = first
    this.delete(first)
    return item
  }

  /** @internal Called by the link that leaves. */
  delete(link: Link<T>): void {
    if (link.item === undefined) return
    link.before.after = link.after
    link.after.before = link.before
    // What has left leads to no other item: whoever still holds it does not hold those that came after it.
    link.item = undefined
    link.before = link.after = link
    this.#size--
  }
}
