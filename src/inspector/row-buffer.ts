import type { Row } from './row.ts'

/** The latest state of a row, with its place in the order of all changes. */
export interface Entry {
  readonly sequence: number
  readonly row: Row
  /** The row as JSON. */
  readonly text: string
}

/**
 * The latest state of at most `maxRows` rows. A new row replaces the row that ended first. Rows that have not ended stay:
 * work that hangs must be visible. If no row has ended, there is no room for a new one.
 */
export class RowBuffer {
  readonly #maxRows: number
  readonly #open = new Map<string, Entry>()
  /** In the order of their ends. */
  readonly #ended = new Map<string, Entry>()
  #sequence = 0
  #replaced = 0

  constructor(maxRows: number) {
    this.#maxRows = maxRows
  }

  get size(): number {
    return this.#open.size + this.#ended.size
  }

  /** How many rows newer ones replaced. */
  get replaced(): number {
    return this.#replaced
  }

  get lastSequence(): number {
    return this.#sequence
  }

  has(id: string): boolean {
    return this.#open.has(id) || this.#ended.has(id)
  }

  /** Returns undefined if the row is as before, or if there is no room for it. */
  put(row: Row): Entry | undefined {
    const known = this.#open.get(row.id) ?? this.#ended.get(row.id)
    const text = JSON.stringify(row)
    if (known?.text === text) return undefined
    if (known === undefined && this.size >= this.#maxRows && !this.#replaceOne()) return undefined
    this.delete(row.id)
    const entry = { sequence: ++this.#sequence, row, text }
    if (row.endedAt === undefined) this.#open.set(row.id, entry)
    else this.#ended.set(row.id, entry)
    return entry
  }

  /** Returns whether the row was there. */
  delete(id: string): boolean {
    return this.#open.delete(id) || this.#ended.delete(id)
  }

  /** The entries after a place in the order, in order. */
  after(sequence: number): Entry[] {
    return [...this.#open.values(), ...this.#ended.values()]
      .filter((entry) => entry.sequence > sequence)
      .toSorted((left, right) => left.sequence - right.sequence)
  }

  /** Removes the row that ended first. Returns false if there is none. */
  #replaceOne(): boolean {
    for (const id of this.#ended.keys()) {
      this.#replaced++
      return this.#ended.delete(id)
    }
    return false
  }
}
