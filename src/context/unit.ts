import { inspect } from 'node:util'
import { Blocks } from './blocks.ts'
import type { Cell } from './cell.ts'

/** What ends a stretch of work at a time. */
export interface TimeBound {
  /** In milliseconds since the epoch; undefined for no time. */
  readonly deadline: number | undefined
  /** @internal Whether it keeps off the deadlines that were set outside of it. */
  readonly shielded: boolean
  /** @internal The deadline is over: lets whoever has set it abort, and gives the reason. */
  expire(): unknown
}

/** A piece of work that values belong to, and that ends: a request, a task. */
export abstract class Unit {
  abstract readonly name: string
  /** @internal Where its work runs: its own cell, or for a task that shares its spawner's that one. */
  abstract readonly cell: Cell | undefined
  #blocks: Blocks | undefined

  /** Called for each access to a variable after the seal; throws if the unit is so configured. */
  abstract late(operation: 'read' | 'write', variable: string): void

  /** @internal What bounds the time of work in `_cell`, which is of this unit; undefined if nothing can. */
  boundOf(_cell: Cell): TimeBound | undefined {
    return undefined
  }

  get sealed(): boolean {
    return this.cell?.sealed === true
  }

  /** A block's cell has values of its own, which the seal must reach too. */
  adopt(block: Cell): void {
    if (!this.sealed) (this.#blocks ??= new Blocks()).add(block)
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

  /** Seals what is its own; a cell that it shares is its spawner's to seal. */
  protected seal(): void {
    if (this.cell?.unit !== this) return
    this.cell.seal()
    // A generator's layer goes over to whoever drives it.
    for (const block of this.#blocks?.all ?? []) if (block.unit === this) block.seal()
    this.#blocks = undefined
  }
}
