import { setTimeout as delay } from 'node:timers/promises'
import { factNames, type Facts } from './facts.ts'

export interface Counts {
  /** How often all values of a unit were compared with the expected values. */
  checks: number
  /** Checks that saw a value of another request, or a hidden value of their own request. */
  crossed: number
  /** Checks that saw a value of another request. */
  foreign: number
  /** Missing values, missing answers to requests, and missing ends of tasks. */
  lost: number
  requests: number
  tasks: number
}

/** Counts what happened, and compares it with what was expected. */
export class Ledger {
  /** Descriptions of the first problems. */
  readonly samples: string[] = []
  #checks = 0
  #crossed = 0
  #foreign = 0
  #missing = 0
  #asked = 0
  #answered = 0
  #spawned = 0
  #ended = 0

  get counts(): Counts {
    return {
      checks: this.#checks,
      crossed: this.#crossed,
      foreign: this.#foreign,
      lost: this.#missing + (this.#asked - this.#answered) + (this.#spawned - this.#ended),
      requests: this.#answered,
      tasks: this.#ended,
    }
  }

  /** Compares the seen values at one place in the work of the request `owner` with the expected values. */
  check(owner: string, where: string, seen: Facts, expected: Facts): void {
    this.#checks++
    let crossed = false
    let foreign = false
    let missing = false
    for (const name of factNames) {
      const value = seen[name]
      if (value === expected[name]) continue
      if (value === undefined) missing = true
      else crossed = true
      if (value?.startsWith(`${owner}/`) === false) foreign = true
    }
    if (!crossed && !missing) return
    if (crossed) this.#crossed++
    if (foreign) this.#foreign++
    if (missing) this.#missing++
    this.#note(`${owner}, ${where}: saw ${JSON.stringify(seen)}, not ${JSON.stringify(expected)}`)
  }

  /** Records an answer. It must be the answer to the caller's own request. */
  answered(owner: string, answer: string, expected: string): void {
    this.#answered++
    this.#checks++
    if (answer === expected) return
    this.#crossed++
    this.#foreign++
    this.#note(`${owner}, answer: got ${answer}, not ${expected}`)
  }

  asked(): void {
    this.#asked++
  }

  unanswered(owner: string, error: unknown): void {
    this.#note(`${owner} has no answer: ${String(error)}`)
  }

  /** Runs a task and counts its end. */
  async task(work: () => Promise<void>): Promise<void> {
    await work()
    this.#ended++
  }

  spawned(): void {
    this.#spawned++
  }

  /** Resolves when all tasks ended. A task that did not end within the limit is lost. */
  async allTasksEnded(limitMs: number): Promise<void> {
    const limit = performance.now() + limitMs
    while (this.#ended < this.#spawned && performance.now() < limit) await delay(10)
  }

  #note(sample: string): void {
    if (this.samples.length < 5) this.samples.push(sample)
  }
}
