import { inspectCustom } from '../options.ts'
import { storage } from './storage.ts'
import { copyFor, emptyValues, overlay, read, type Slot, survivorsOf, type Values, write } from './values.ts'

/** Other cells or contexts have the same array of values: copy it before a write. */
const shared = 0
/** The array of values is this cell's alone: write in place. */
const owned = 1
/** The unit has ended: the cell has only survivors, and accepts no write. */
const sealed = 2

/** An object that belongs to a unit, such as a request's logger, has the unit's cell under this key. */
export const cellKey: unique symbol = Symbol.for('logical-context.cell') as never

/** The unit of a cell, a request or a task, as far as this room needs it. */
export interface CellOwner {
  readonly sealed: boolean
  /** Called with each block of the unit: the end of the unit seals its blocks too. */
  adopt(block: Cell): void
  /** Called for each access to a variable after the seal; throws if the unit is so configured. */
  late(operation: 'read' | 'write', variable: string): void
}

/**
 * The object in the AsyncLocalStorage: a cell, or a view of one in a cancel scope. Everything but `near` and `within` is
 * a matter of the cell itself, its `base`.
 */
export type View = Pick<Cell, 'base' | 'unit' | 'scope' | 'near' | 'within'>

/**
 * The current values, their unit, and the cancel scope of the current code.
 *
 * The values are private fields, so that no inspection of an object that refers to a cell prints them. Other copies of
 * the package use the methods, because private fields are different in each copy.
 */
export class Cell {
  /** Undefined in a block outside any unit. */
  readonly unit: CellOwner | undefined
  /** The innermost cancel scope of the current code, inside its unit. The type is in tasks/cancel-scope.ts. */
  readonly scope: unknown
  /** The cell itself; for a view, the cell that has its values. */
  readonly base: Cell
  /** For a block: its unit's list of blocks. The reference keeps the list alive; see `Blocks`. */
  siblings: readonly Cell[] | undefined = undefined
  #values: Values
  #memo: unknown = undefined
  #state: typeof shared | typeof owned | typeof sealed = shared

  constructor(values: Values, unit: CellOwner | undefined, scope?: unknown, base?: Cell) {
    this.#values = values
    this.unit = unit
    this.scope = scope
    this.base = base ?? this
  }

  /** The fast path of a read, also in a view: `undefined` unless the variable has one of the first places. */
  near(index: number): unknown {
    return this.base.#values[index]
  }

  /** A view of this cell in a cancel scope. */
  within(scope: unknown): View {
    const { base } = this
    return new Cell(emptyValues, base.unit, scope, base)
  }

  get sealed(): boolean {
    return this.#state === sealed
  }

  /** One object that the log bridge derives from the values. Each write removes it. */
  get memo(): unknown {
    return this.#memo
  }

  set memo(memo: unknown) {
    this.#memo = memo
  }

  /** The raw value of a variable. */
  read(index: number): unknown {
    return read(this.#values, index)
  }

  /** The same, except in a generator's body: there without the values of the code that drives it. */
  own(index: number): unknown {
    return read(this.#values, index)
  }

  /** Writes a raw value. The caller checks that the cell is not sealed. */
  write(slot: Slot, raw: unknown): void {
    if (this.#state === shared) {
      this.#values = copyFor(this.#values, slot)
      this.#state = owned
    }
    this.#memo = undefined
    this.#values = write(this.#values, slot, raw)
  }

  /** Writes all raw values of another cell. */
  merge(values: Values): void {
    this.#values = overlay(this.#values, values)
    this.#state = owned
    this.#memo = undefined
  }

  /** The values for a fork: from now on both sides copy them before a write. */
  share(): Values {
    if (this.#state === owned) this.#state = shared
    return this.#values
  }

  /** Drops all values except the survivors, so that a reference to the cell retains nothing of the request. */
  seal(): void {
    this.#values = survivorsOf(this.#values)
    this.#state = sealed
    this.#memo = undefined
    this.siblings = undefined
  }

  [inspectCustom](): string {
    return 'Cell'
  }

  toJSON(): string {
    return 'Cell'
  }
}

/** The cell of the current code; never a view. */
export function currentCell(): Cell | undefined {
  return storage.getStore()?.base
}
