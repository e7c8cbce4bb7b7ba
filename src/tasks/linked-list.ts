/** An item of at most one list. It refers to its neighbours there. */
export interface Listed<Item> {
  /** @internal */
  before: Item | undefined
  /** @internal */
  after: Item | undefined
}

/**
 * A list that adds at its end and deletes anywhere, in constant time. Not a `Set`: the tables that a Set outgrows refer
 * to each other, and once one of them is old, every later item lives until a full collection.
 */
export class LinkedList<Item extends Listed<Item>> {
  #first: Item | undefined
  #last: Item | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  /** A copy, in order. */
  get items(): Item[] {
    const items: Item[] = []
    for (let item = this.#first; item !== undefined; item = item.after) items.push(item)
    return items
  }

  /** For an item that is in no other list. */
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

  /** A second call does nothing. */
  delete(item: Item): void {
    if (!this.has(item)) return
    const { before, after } = item
    if (before === undefined) this.#first = after
    else before.after = after
    if (after === undefined) this.#last = before
    else after.before = before
    // A deleted item that is kept must not keep the items that came after it.
    item.before = undefined
    item.after = undefined
    this.#size--
  }

  /** Deletes and returns the first item. */
  shift(): Item | undefined {
    const first = this.#first
    if (first !== undefined) this.delete(first)
    return first
  }
}

/** The place in a list of an object that is in another list already, or in several. */
export class Link<T> implements Listed<Link<T>> {
  readonly item: T
  before: Link<T> | undefined = undefined
  after: Link<T> | undefined = undefined

  constructor(item: T) {
    this.item = item
  }
}

/** The items that a piece of code waits for. */
export interface Wait<Item> {
  readonly size: number
  /** A copy, in order. */
  readonly items: Item[]
  /** Resolves when there is no item; that may change a moment later. */
  idle(): Promise<void>
  /** To be called at the end of the wait. */
  end(): void
}

/** A list of what is in flight, to wait for. */
export class InFlight<Item extends Listed<Item>> extends LinkedList<Item> implements Wait<Item> {
  #idle: PromiseWithResolvers<void> | undefined
  #othersIdle: PromiseWithResolvers<void> | undefined
  /** The items whose own code waits for this list, and how often. */
  #callers: Map<Item, number> | undefined

  async idle(): Promise<void> {
    if (this.size > 0) await (this.#idle ??= Promise.withResolvers<void>()).promise
  }

  end(): void {}

  /**
   * Begins a wait for all items. If `callers` are the items whose own code waits, it does not include them, nor other
   * items whose code waits at the same time: two that wait for each other would never end.
   */
  waitFor(callers: readonly Item[]): Wait<Item> {
    const listed = callers.filter((caller) => this.has(caller))
    if (listed.length === 0) return this
    const counts = (this.#callers ??= new Map<Item, number>())
    for (const caller of listed) counts.set(caller, (counts.get(caller) ?? 0) + 1)
    this.#resolve()
    const end = () => {
      for (const caller of listed) {
        const count = counts.get(caller) ?? 0
        if (count > 1) counts.set(caller, count - 1)
        else counts.delete(caller)
      }
    }
    return new WaitForOthers(this, counts, () => this.#untilOthersIdle(), end)
  }

  override delete(item: Item): void {
    super.delete(item)
    this.#callers?.delete(item)
    this.#resolve()
  }

  async #untilOthersIdle(): Promise<void> {
    if (this.size > (this.#callers?.size ?? 0)) await (this.#othersIdle ??= Promise.withResolvers<void>()).promise
  }

  #resolve(): void {
    if (this.size > (this.#callers?.size ?? 0)) return
    this.#othersIdle?.resolve()
    this.#othersIdle = undefined
    if (this.size > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }
}

class WaitForOthers<Item extends Listed<Item>> implements Wait<Item> {
  readonly #list: LinkedList<Item>
  readonly #callers: ReadonlyMap<Item, number>
  readonly idle: () => Promise<void>
  readonly end: () => void

  constructor(list: LinkedList<Item>, callers: ReadonlyMap<Item, number>, idle: () => Promise<void>, end: () => void) {
    this.#list = list
    this.#callers = callers
    this.idle = idle
    this.end = end
  }

  get size(): number {
    return this.#list.size - this.#callers.size
  }

  get items(): Item[] {
    return this.#list.items.filter((item) => !this.#callers.has(item))
  }
}
