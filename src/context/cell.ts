import { inspect } from 'node:util'
import type { Unit } from './unit.ts'
import { copyFor, overlay, read, type Slot, survivorsOf, type Values, write } from './values.ts'

/** Others hold the same `values`: copy before writing. */
const shared = 0
/** Nobody else holds `values`: write in place. */
const owned = 1
/** The unit has ended: only survivors are left, and nothing may be written. */
const sealed = 2

/** Under this key an object that belongs to a unit, a request's logger for one, bears the unit's cell. */
export const cellKey: unique symbol = Symbol.for('logical-context.cell') as never

/** What the AsyncLocalStorage holds: the current values, and beside them the unit they belong to. Private. */
export class Cell {
  values: Values
  /** Undefined in a block that was run outside any unit. */
  unit: Unit | undefined
  /** In a generator's layer: the cell of whoever drives it, which is read where the layer has nothing of its own. */
  driver: Cell | undefined = undefined
  /** One value derived from `values`, kept by whoever is above; every write drops it. */
  memo: unknown = undefined
  /** Of a block: the list in which its unit holds it. */
  siblings: readonly Cell[] | undefined = undefined
  #state: typeof shared | typeof owned | typeof sealed = shared

  constructor(values: Values, unit: Unit | undefined) {
    this.values = values
    this.unit = unit
  }

  get sealed(): boolean {
    return this.#state === sealed
  }

  /** The raw value of a variable, the driver's where a layer has none. */
  read(index: number): unknown {
    const raw = read(this.values, index)
    return raw === undefined && this.driver !== undefined ? this.driver.read(index) : raw
  }

  /** The caller has checked that the cell is not sealed. */
  write(slot: Slot, raw: unknown): void {
    if (this.#state === shared) {
      this.values = copyFor(this.values, slot)
      this.#state = owned
    }
    this.memo = undefined
    this.values = write(this.values, slot, raw)
  }

  /** The values for a fork: from here on both sides copy before they write. */
  share(): Values {
    if (this.driver !== undefined) return overlay(this.driver.share(), this.values)
    if (this.#state === owned) this.#state = shared
    return this.values
  }

  /** Drops all values but the survivors: what holds the cell after this holds nothing of the request. */
  seal(): void {
    this.values = survivorsOf(this.share())
    this.#state = sealed
    this.driver = undefined
    this.memo = undefined
    this.siblings = undefined
  }

  /** Never the values, of which some are sensitive: what bears a cell may be logged, a task or a logger for two. */
  [inspect.custom](): string {
    return 'Cell'
  }

  /** The same for whoever logs as JSON. */
  toJSON(): string {
    return 'Cell'
  }
}

/** A cell for a block: it starts from `values` and is sealed with its unit. */
export function openBlock(values: Values, unit: Unit | undefined): Cell {
  const block = new Cell(values, unit)
  unit?.adopt(block)
  return block
}
