import type { Cell } from './cell.ts'

/** How many blocks are held, and forgotten, together. A WeakRef costs more than a block; a request rarely runs as many. */
const listLength = 32

/** The blocks of a unit that somebody still holds, and the latest ones. */
export class Blocks {
  #latest: Cell[] = []
  /** The lists of earlier blocks; each lives as long as one of its blocks does, which holds it. */
  #earlier: WeakRef<Cell[]>[] | undefined
  #pruneAt = listLength

  /** Those that are still there. */
  get all(): Cell[] {
    const earlier = this.#earlier?.flatMap((list) => list.deref() ?? []) ?? []
    return [...earlier, ...this.#latest]
  }

  add(block: Cell): void {
    if (this.#latest.length === listLength) this.#archive()
    block.siblings = this.#latest
    this.#latest.push(block)
  }

  #archive(): void {
    const earlier = (this.#earlier ??= [])
    earlier.push(new WeakRef(this.#latest))
    this.#latest = []
    if (earlier.length < this.#pruneAt) return
    // What nothing holds any more is forgotten, so that a long unit does not grow with each block it runs.
    this.#earlier = earlier.filter((known) => known.deref() !== undefined)
    this.#pruneAt = Math.max(listLength, 2 * this.#earlier.length)
  }
}
