import assert from 'node:assert/strict'
import type { Work } from '../harness/row.ts'

/** Counts what has been started and what has ended; the failures that a side reports. */
export class Tasks {
  started = 0
  ended = 0
  readonly failures: unknown[] = []
  readonly report = (error: unknown): void => void this.failures.push(error)

  /** The task that is timed. */
  readonly body = async (): Promise<void> => {
    await undefined
    this.ended++
  }
}

export interface Spawner {
  spawn(fn: () => Promise<void>): void
  /** What a task sees of the request; undefined for nothing. */
  see(): string | undefined
  /** How many tasks are under way, or undefined for a side that keeps no account. */
  owned: (() => number) | undefined
  within<R>(loop: () => R): R
}

/** A side of a row of tasks, which sees `expected` in a task. */
export function spawns(expected: string | undefined, make: (tasks: Tasks) => Spawner): Work {
  const tasks = new Tasks()
  const { spawn, see, owned, within } = make(tasks)
  return {
    op() {
      tasks.started++
      spawn(tasks.body)
    },
    settled: () => tasks.ended === tasks.started && (owned === undefined || owned() === 0),
    within,
    async check() {
      const failure = new Error('reported')
      const seen: unknown[] = []
      await within(async () => {
        spawn(async () => {
          await undefined
          seen.push(see())
        })
        if (owned !== undefined) assert.equal(owned(), 1)
        spawn(async () => {
          await undefined
          throw failure
        })
        await turn()
      })
      assert.deepEqual(seen, [expected])
      assert.deepEqual(tasks.failures, [failure])
      if (owned !== undefined) assert.equal(owned(), 0)
    },
  }
}

/** All promises that can go on have gone on. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
