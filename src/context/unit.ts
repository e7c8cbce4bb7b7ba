import { inspect } from 'node:util'
import type { Cell } from './cell.ts'

/** How many blocks are held, and forgotten, together. A WeakRef costs more than a block; a request rarely runs as many. */
const listLength = 32

/** A piece of work that values belong to, and that ends: a request, a task. */
export abstract class Unit {
  abstract readonly name: string
  #sealed = false
  /** The latest blocks. */
  #latest: Cell[] | undefined
  /** The lists of earlier blocks; each lives as long as one of its blocks does, which holds it. */
  #earlier: WeakRef<Cell[]>[] | undefined
  #pruneAt = listLength

  /** Called for each access to a variable after the seal; throws if the unit is so configured. */
  abstract late(operation: 'read' | 'write', variable: string): void

  get sealed(): boolean {
    return this.#sealed
  }

  /** A block's cell has values of its own, which the seal must reach too. */
  adopt(block: Cell): void {
    if (this.#sealed) return
    if (this.#latest?.length === listLength) this.#archive(this.#latest)
    block.siblings = this.#latest ??= []
    this.#latest.push(block)
  }

  toString(): string {
    return `${this.constructor.name}(${this.name})`
  }

  toJSON(): string {
    return this.toString()
  }

  /** What `console.log` shows: never the values, of which some are sensitive. */
  [inspect.custom](): string {
    return this.toString()
  }

  protected sealCells(cell: Cell): void {
    this.#sealed = true
    cell.seal()
    for (const block of this.#latest ?? []) this.#sealBlock(block)
    for (const list of this.#earlier ?? []) for (const block of list.deref() ?? []) this.#sealBlock(block)
    this.#latest = undefined
    this.#earlier = undefined
  }

  #sealBlock(block: Cell): void {
    // A generator's layer goes over to whoever drives it.
    if (block.unit === this) block.seal()
  }

  #archive(list: Cell[]): void {
    const earlier = (this.#earlier ??= [])
    earlier.push(new WeakRef(list))
    this.#latest = undefined
    if (earlier.length < this.#pruneAt) return
    // What nothing holds any more is forgotten, so that a long unit does not grow with each block it runs.
    this.#earlier = earlier.filter((known) => known.deref() !== undefined)
    this.#pruneAt = Math.max(listLength, 2 * this.#earlier.length)
  }
}
