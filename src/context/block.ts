import { isPromise } from 'node:util/types'
import { Cell, type CellOwner } from './cell.ts'
import { storage } from './storage.ts'
import type { Values } from './values.ts'

/** A cell for a block: it starts from `values`, is sealed with its unit, and stays in the caller's cancel scope. */
export function openBlock(values: Values, unit: CellOwner | undefined): Cell {
  const block = new Cell(values, unit, storage.getStore()?.scope)
  unit?.adopt(block)
  return block
}

/** A promise in place of a thenable; any other result as it is. */
export type Started<R> = R extends PromiseLike<infer V> ? Promise<V> : R

/** Calls `fn` in a block; a lazy thenable that it returns starts in there too. */
export function runBlock<Args extends unknown[], R>(block: Cell, fn: (...args: Args) => R, args: Args): R {
  const result = storage.run(block, fn, ...args)
  return isStarted(result) ? result : storage.run(block, start<R>, result)
}

/** Whether `start` returns the value unchanged, for most values: then the context is not entered a second time for it. */
export function isStarted(result: unknown): boolean {
  if ((typeof result !== 'object' || result === null) && typeof result !== 'function') return true
  // A proxy of a promise may have another `then`; `isPromise` is false for it.
  return isPromise(result) && result.then === Promise.prototype.then
}

/**
 * Starts a lazy thenable, such as a query builder of knex, in the current context, and returns a promise for it. It
 * calls `then` once. Returns a native promise, and anything that is not a thenable, unchanged.
 */
export function start<R>(result: R): R {
  if ((typeof result !== 'object' || result === null) && typeof result !== 'function') return result
  const then = thenOf(result)
  if (typeof then !== 'function' || then === Promise.prototype.then) return result
  return new Promise((resolve, reject) => {
    Reflect.apply(then, result, [resolve, reject])
  }) as R
}

function thenOf(value: object): unknown {
  try {
    return (value as { then?: unknown }).then
  } catch {
    // An await of the value throws the same error.
    return undefined
  }
}

/** How many blocks are held, and released, together. A WeakRef is larger than a block, and few requests run as many. */
const listLength = 32

/** The blocks of a unit: the latest ones, and those that are referred to elsewhere. */
export class Blocks {
  #latest: Cell[] = []
  /** The lists of earlier blocks. Each lives as long as one of its blocks, which refer to it. */
  #earlier: WeakRef<Cell[]>[] | undefined
  #pruneAt = listLength

  /** The blocks that were not collected. */
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
    // Removes collected lists, so that a long unit does not grow with each block it runs.
    this.#earlier = earlier.filter((known) => known.deref() !== undefined)
    this.#pruneAt = Math.max(listLength, 2 * this.#earlier.length)
  }
}
