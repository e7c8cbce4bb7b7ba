import assert from 'node:assert/strict'
import type { Role, Side, Work } from '../harness/row.ts'

/** Counts the tasks that started and ended, and keeps the failures that a side reports. */
export class Tasks {
  started = 0
  ended = 0
  readonly failures: unknown[] = []
  readonly report = (error: unknown): void => void this.failures.push(error)

  /** The measured task. */
  readonly body = async (): Promise<void> => {
    await Promise.resolve()
    this.ended++
  }
}

/** A way to start tasks. */
export interface Spawner {
  spawn(fn: () => Promise<void>): void
  /** The request's value that a task sees. */
  see(): string | undefined
  /** The number of pending tasks, or undefined if the way does not count them. */
  owned: (() => number) | undefined
  within<R>(loop: () => R): R
}

export interface SpawnerSide {
  readonly name: string
  readonly role: Role
  make(tasks: Tasks): Spawner | Promise<Spawner>
}

/** A side that measures tasks from start to end. Each task must see `expected`. */
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

/** Asserts that a task sees its value, that a failure is reported, and that both leave the registry. */
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

/** Resolves after all pending promise callbacks. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
