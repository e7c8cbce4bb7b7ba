import { subscribe } from 'node:diagnostics_channel'
import type { ScopeEvent, TaskEndEvent } from 'logical-context/channels'

/** Lets a flow live where this is called; a unit's body is given the unit. */
export type Live = (unit?: unknown) => Promise<void>

/** Called at the end of a unit. */
const ends = new WeakMap<object, () => void>()

subscribe('logical-context:task:end', (event) => ends.get((event as TaskEndEvent).task)?.())
subscribe('logical-context:scope:seal', (event) => ends.get((event as ScopeEvent).scope)?.())

/** An async function that does one after the other what it is told, and nothing else. */
export class Flow {
  readonly number: number
  /** What ends with it: a unit, or a call whose caller waits. */
  readonly ends: 'a unit' | 'a call' | undefined
  over = false
  readonly #onUnitEnd: () => void
  readonly #living = Promise.withResolvers<void>()
  readonly #jobs: (() => void)[] = []
  #wake = Promise.withResolvers<void>()

  constructor(number: number, ends: Flow['ends'], onUnitEnd: () => void) {
    this.number = number
    this.ends = ends
    this.#onUnitEnd = onUnitEnd
  }

  /** Resolves when the flow has begun to live. */
  get living(): Promise<void> {
    return this.#living.promise
  }

  readonly live: Live = async (unit) => {
    if (this.ends === 'a unit') ends.set(unit as object, this.#onUnitEnd)
    this.#living.resolve()
    while (!this.over) {
      const job = this.#jobs.shift()
      if (job !== undefined) job()
      else await this.#sleep()
    }
    for (const job of this.#jobs) job()
  }

  /** Calls `fn` in the flow's own context, in its turn; not if the flow is over then. */
  do(fn: () => void): Promise<void> {
    if (this.over) return Promise.resolve()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#jobs.push(() => {
      try {
        if (!this.over) fn()
        resolve()
      } catch (error) {
        reject(error)
      }
    })
    this.#wake.resolve()
    return promise
  }

  async #sleep(): Promise<void> {
    await this.#wake.promise
    this.#wake = Promise.withResolvers()
  }
}
