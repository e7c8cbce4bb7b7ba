import { type Link, LinkedList } from './linked-list.ts'

/** What is under way; says when nothing is. */
export class InFlight<T extends object> extends LinkedList<T> {
  #idle: PromiseWithResolvers<void> | undefined

  /** Resolves when nothing is under way, maybe only for a moment. */
  async idle(): Promise<void> {
    if (this.size > 0) await (this.#idle ??= Promise.withResolvers<void>()).promise
  }

  override delete(link: Link<T>): void {
    super.delete(link)
    if (this.size > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }
}
