/** Numbers that look random and are the same for the same seed: a failure can be run again. Marsaglia, "Xorshift RNGs" */
export class Random {
  #state: number

  constructor(seed: number) {
    // Zero would stay zero, and seeds that are near each other must not start alike.
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 0 || 1
  }

  /** A whole number of at least 0 that is less than `limit`. */
  below(limit: number): number {
    let state = this.#state
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    this.#state = state
    return (state >>> 0) % limit
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }
}
