/** How many tasks, calls and enqueues are recorded for each unit, on average. */
const partsPerUnit = 20

/**
 * Decides which units are recorded: all of them, up to a rate. Above it, one of 2, 4, 8 … by the last digits of the trace
 * id, so that all services choose the same traces.
 */
export class Sampler {
  readonly #perSecond: number
  /** A power of two. */
  #oneOf = 1
  #windowEnd = 0
  #seen = 0
  #admitted = 0
  #parts = 0
  omittedUnits = 0
  omittedParts = 0

  constructor(perSecond: number) {
    this.#perSecond = perSecond
  }

  /** Whether to record a unit. One without a trace is sampled by its number. */
  admitsUnit(traceId: string | undefined): boolean {
    this.#turn()
    const number = traceId === undefined ? this.#seen : Number.parseInt(traceId.slice(-7), 16)
    this.#seen++
    if (this.#admitted < this.#perSecond && number % this.#oneOf === 0) {
      this.#admitted++
      return true
    }
    this.omittedUnits++
    return false
  }

  /** Whether to record a task, a call or an enqueue of a unit that is recorded. */
  admitsPart(): boolean {
    this.#turn()
    if (this.#parts < this.#perSecond * partsPerUnit) {
      this.#parts++
      return true
    }
    this.omittedParts++
    return false
  }

  /** Begins a new second, and sets its share by the load of the last one. */
  #turn(): void {
    const now = performance.now()
    if (now < this.#windowEnd) return
    const isNext = now < this.#windowEnd + 1000
    const load = isNext ? this.#seen / this.#perSecond : 0
    this.#oneOf = load <= 1 ? 1 : 2 ** Math.ceil(Math.log2(load))
    this.#windowEnd = now + 1000
    this.#seen = 0
    this.#admitted = 0
    this.#parts = 0
  }
}
