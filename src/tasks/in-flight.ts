import { LinkedList, type Listed } from './linked-list.ts'

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
