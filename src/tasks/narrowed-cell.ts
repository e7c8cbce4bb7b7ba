import { inspect } from 'node:util'
import type { Cell } from '../context/cell.ts'
import { storage } from '../context/storage.ts'
import type { Unit } from '../context/unit.ts'
import type { Slot, Values } from '../context/values.ts'
import type { CancelScope, Canceller } from './cancel-scope.ts'

/** All of a cell that others see. */
type CellShape = { [K in keyof Cell]: Cell[K] }

/** A cell as it is seen from inside a scope: the values and the unit are the cell's own, both ways. */
class NarrowedCell implements CellShape {
  readonly base: Cell
  readonly scope: CancelScope | undefined
  /** What a bridge carries along with it. */
  readonly attached: unknown

  constructor(base: Cell, scope: CancelScope | undefined, attached: unknown) {
    this.base = base
    this.scope = scope
    this.attached = attached
  }

  get values(): Values {
    return this.base.values
  }

  get unit(): Unit | undefined {
    return this.base.unit
  }

  /** Of a generator's layer the layer itself, so that one which drives itself through a scope is found out. */
  get driver(): Cell | undefined {
    return this.base.driver === undefined ? undefined : this.base
  }

  get memo(): unknown {
    return this.base.memo
  }

  set memo(memo: unknown) {
    this.base.memo = memo
  }

  get siblings(): readonly Cell[] | undefined {
    return this.base.siblings
  }

  get sealed(): boolean {
    return this.base.sealed
  }

  read(index: number): unknown {
    return this.base.read(index)
  }

  write(slot: Slot, raw: unknown): void {
    this.base.write(slot, raw)
  }

  share(): Values {
    return this.base.share()
  }

  seal(): void {
    this.base.seal()
  }

  [inspect.custom](): string {
    return this.base[inspect.custom]()
  }

  toJSON(): string {
    return this.base.toJSON()
  }
}

/** Blocks that were opened in a scope: each has values of its own, and the scope of its surroundings. */
const scopesOfBlocks = new WeakMap<Cell, CancelScope>()

/** The same cell, seen from inside `scope`. */
export function narrow(cell: Cell, scope: CancelScope): Cell {
  return new NarrowedCell(baseOf(cell), scope, attachedTo(cell)) as unknown as Cell
}

/** The same cell, with something that a bridge carries along. */
export function attach(cell: Cell, attached: unknown): Cell {
  return new NarrowedCell(baseOf(cell), scopeOf(cell), attached) as unknown as Cell
}

export function attachedTo(cell: Cell | undefined): unknown {
  return (cell as Partial<NarrowedCell> | undefined)?.attached
}

/** Lets a block that is being opened belong to the scope in which that happens. */
export function narrowBlock(block: Cell): void {
  // A generator's layer is in the scope of whoever drives it at the time.
  if (block.driver !== undefined) return
  const scope = scopeOf(storage.getStore())
  if (scope !== undefined) scopesOfBlocks.set(block, scope)
}

/** The current cell as it is without any scope. */
export function currentBase(): Cell | undefined {
  const cell = storage.getStore()
  return cell === undefined ? undefined : baseOf(cell)
}

/** What the current code is cancelled with; undefined outside any unit. */
export function currentCanceller(): Canceller | undefined {
  return cancellerOf(storage.getStore())
}

export function cancellerOf(cell: Cell | undefined): Canceller | undefined {
  // Every unit is a scope or a task; the context itself need not know that they can be cancelled.
  return scopeOf(cell)?.lasting ?? (cell?.unit as (Unit & Canceller) | undefined)
}

function baseOf(cell: Cell): Cell {
  return (cell as Partial<NarrowedCell>).base ?? cell
}

function scopeOf(cell: Cell | undefined): CancelScope | undefined {
  for (let at = cell; at !== undefined; at = at.driver) {
    const scope = (at as Partial<NarrowedCell>).scope ?? scopesOfBlocks.get(at)
    if (scope !== undefined) return scope
  }
  return undefined
}
