/** Counts what is under way, and says when nothing is. */
export class InFlight {
  #count = 0
  #idle: PromiseWithResolvers<void> | undefined

  get count(): number {
    return this.#count
  }

  begin(): void {
    this.#count++
  }

  end(): void {
    if (--this.#count > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }

  /** Resolves when nothing is under way, maybe only for a moment. */
  async idle(): Promise<void> {
    if (this.#count > 0) await (this.#idle ??= Promise.withResolvers<void>()).promise
  }
}
