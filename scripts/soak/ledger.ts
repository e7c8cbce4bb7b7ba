import { setTimeout as delay } from 'node:timers/promises'
import { factNames, type Facts } from './facts.ts'

export interface Counts {
  /** Places at which everything that a unit knows was compared with what it has to know. */
  checks: number
  /** Checks that saw something of another request, or something of their own that was to be hidden. */
  crossed: number
  /** Those of them that saw something of another request. */
  foreign: number
  /** What was not there: values, answers to requests, ends of tasks. */
  lost: number
  requests: number
  tasks: number
}

/** Knows what was to happen, what did, and to whom what is seen belongs. */
export class Ledger {
  /** The first few things that went wrong, in words. */
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

  /** Compares what is seen at one place in the work of `owner`, a request, with what has to be. */
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

  /** For a caller, who compares texts: whether the answer is to its own request. */
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

  /** Counts a task whose end has to be seen. */
  async task(work: () => Promise<void>): Promise<void> {
    await work()
    this.#ended++
  }

  spawned(): void {
    this.#spawned++
  }

  /** Waits until all tasks have ended; those that have not within the limit are lost. */
  async allTasksEnded(limitMs: number): Promise<void> {
    const limit = performance.now() + limitMs
    while (this.#ended < this.#spawned && performance.now() < limit) await delay(10)
  }

  #note(sample: string): void {
    if (this.samples.length < 5) this.samples.push(sample)
  }
}
