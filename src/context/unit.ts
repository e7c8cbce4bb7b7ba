import type { Cell } from './cell.ts'

/** How many blocks of a unit are held as they are. A request rarely runs more, and a WeakRef costs as much as a block. */
const strongBlocks = 64

/** A piece of work that values belong to, and that ends: a request, a task. */
export abstract class Unit {
  abstract readonly name: string
  #sealed = false
  #blocks: (Cell | WeakRef<Cell>)[] | undefined
  #pruneAt = 4 * strongBlocks

  /** Called for each access to a variable after the seal; throws if the unit is so configured. */
  abstract late(operation: 'read' | 'write', variable: string): void

  get sealed(): boolean {
    return this.#sealed
  }

  /** A block's cell has values of its own, which the seal must reach too. */
  adopt(block: Cell): void {
    if (this.#sealed) return
    const blocks = (this.#blocks ??= [])
    if (blocks.length < strongBlocks) {
      blocks.push(block)
      return
    }
    if (blocks.length >= this.#pruneAt) this.#prune(blocks)
    blocks.push(new WeakRef(block))
  }

  protected sealCells(cell: Cell): void {
    this.#sealed = true
    cell.seal()
    for (const block of this.#blocks ?? []) {
      if (block instanceof WeakRef) block.deref()?.seal()
      else block.seal()
    }
    this.#blocks = undefined
  }

  /** Forgets the blocks that nothing holds any more, so that a long unit does not grow with each block it runs. */
  #prune(blocks: (Cell | WeakRef<Cell>)[]): void {
    this.#blocks = blocks.filter((block) => !(block instanceof WeakRef) || block.deref() !== undefined)
    this.#pruneAt = 2 * this.#blocks.length
  }
}
