import assert from 'node:assert/strict'
import type { Role, Side, Work } from '../harness/row.ts'

/** Counts what has been started and what has ended; the failures that a side reports. */
export class Tasks {
  started = 0
  ended = 0
  readonly failures: unknown[] = []
  readonly report = (error: unknown): void => void this.failures.push(error)

  /** The task that is timed. */
  readonly body = async (): Promise<void> => {
    await Promise.resolve()
    this.ended++
  }
}

/** A way of starting tasks. */
export interface Spawner {
  spawn(fn: () => Promise<void>): void
  /** What a task sees of the request. */
  see(): string | undefined
  /** How many tasks are under way, or undefined for a way that keeps no account. */
  owned: (() => number) | undefined
  within<R>(loop: () => R): R
}

export interface SpawnerSide {
  readonly name: string
  readonly role: Role
  make(tasks: Tasks): Spawner | Promise<Spawner>
}

/** A side that times tasks from their start to their end, each of which sees `expected`. */
export function timed({ name, role, make }: SpawnerSide, expected: string | undefined): Side {
  return {
    name,
    role,
    async setup() {
      const tasks = new Tasks()
      const spawner = await make(tasks)
      return { ...workOf(tasks, spawner), check: () => checkSpawner(tasks, spawner, expected) }
    },
  }
}

export function workOf(tasks: Tasks, { spawn, owned, within }: Spawner): Omit<Work, 'check'> {
  const before = owned?.() ?? 0
  return {
    op() {
      tasks.started++
      spawn(tasks.body)
    },
    settled: () => tasks.ended === tasks.started && (owned === undefined || owned() === before),
    within,
  }
}

/** A task sees what it should; one that fails is reported; both are forgotten. */
export async function checkSpawner(
  tasks: Tasks,
  { spawn, see, owned, within }: Spawner,
  expected: string | undefined,
): Promise<void> {
  const failure = new Error('reported')
  const seen: unknown[] = []
  await within(async () => {
    spawn(async () => {
      await Promise.resolve()
      seen.push(see())
    })
    if (owned !== undefined) assert.equal(owned(), 1)
    spawn(async () => {
      await Promise.resolve()
      throw failure
    })
    await turn()
  })
  assert.deepEqual(seen, [expected])
  assert.deepEqual(tasks.failures, [failure])
  if (owned !== undefined) assert.equal(owned(), 0)
}

/** All promises that can go on have gone on. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
