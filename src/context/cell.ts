import { inspect } from 'node:util'
import { storage } from './storage.ts'
import { copyFor, emptyValues, overlay, read, type Slot, survivorsOf, type Values, write } from './values.ts'

/** Others hold the same `values`: copy before writing. */
const shared = 0
/** Nobody else holds `values`: write in place. */
const owned = 1
/** The unit has ended: only survivors are left, and nothing may be written. */
const sealed = 2

/** Under this key an object that belongs to a unit, a request's logger for one, bears the unit's cell. */
export const cellKey: unique symbol = Symbol.for('logical-context.cell') as never

/** The unit that values belong to, as far as a cell needs it: a request or a task. */
export interface CellOwner {
  /** A block has values of its own, which the end of the unit must drop too. */
  adopt(block: Cell): void
  /** Called for each access to a variable after the seal; throws if the unit is so configured. */
  late(operation: 'read' | 'write', variable: string): void
}

/**
 * What the AsyncLocalStorage holds: the current values, the unit they belong to, and the cancel scope of the code that
 * runs here. Code inside a cancel scope runs in a view: a cell with the values of another one, its `base`.
 */
export class Cell {
  values: Values
  /** Undefined in a block that was run outside any unit. */
  unit: CellOwner | undefined
  /** The cell that has the values: itself, or the one that this is a view of. */
  readonly base: Cell
  /** The narrowest cancel scope around the code that runs here, inside its unit. Opaque here; tasks/cancel-scope.ts. */
  scope: unknown = undefined
  /** In a generator's layer: the cell of whoever drives it, which is read where the layer has nothing of its own. */
  driver: Cell | undefined = undefined
  /** One value derived from `values`, kept by whoever is above; every write drops it. */
  memo: unknown = undefined
  /** Of a block: the list in which its unit holds it. */
  siblings: readonly Cell[] | undefined = undefined
  #state: typeof shared | typeof owned | typeof sealed = shared

  constructor(values: Values, unit: CellOwner | undefined, base?: Cell) {
    this.values = values
    this.unit = unit
    this.base = base ?? this
  }

  get sealed(): boolean {
    return this.base.#state === sealed
  }

  /** The same values and unit, inside a cancel scope. Has none of its own, so that a read goes on to the base. */
  within(scope: unknown): Cell {
    const { base } = this
    const view = new Cell(emptyValues, base.unit, base)
    view.scope = scope
    return view
  }

  /** The narrowest cancel scope; of a generator's layer, that of whoever drives it at the time. */
  get innerScope(): unknown {
    return this.scope ?? this.base.driver?.innerScope
  }

  /** The raw value of a variable, the driver's where a layer has none. */
  read(index: number): unknown {
    const { values, driver } = this.base
    const raw = read(values, index)
    return raw === undefined && driver !== undefined ? driver.read(index) : raw
  }

  /** The caller has checked that the cell is not sealed. */
  write(slot: Slot, raw: unknown): void {
    if (this.base !== this) return this.base.write(slot, raw)
    if (this.#state === shared) {
      this.values = copyFor(this.values, slot)
      this.#state = owned
    }
    this.memo = undefined
    this.values = write(this.values, slot, raw)
  }

  /** The values for a fork: from here on both sides copy before they write. */
  share(): Values {
    if (this.base !== this) return this.base.share()
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

/** The cell of the current code, without any cancel scope. */
export function currentCell(): Cell | undefined {
  return storage.getStore()?.base
}

/** A cell for a block: it starts from `values`, is sealed with its unit, and is in the cancel scope of its surroundings. */
export function openBlock(values: Values, unit: CellOwner | undefined): Cell {
  const block = new Cell(values, unit)
  block.scope = storage.getStore()?.innerScope
  unit?.adopt(block)
  return block
}

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
