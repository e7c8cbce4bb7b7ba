import { setImmediate } from 'node:timers/promises'

/** Whether what `ref` points to can be collected: nothing holds it any more. */
export async function isCollected(ref: WeakRef<object>): Promise<boolean> {
  for (let attempt = 0; attempt < 20; attempt++) {
    if (!isAlive(ref)) return true
    // A WeakRef that was read holds its target until the end of the job.
    await setImmediate()
    collectGarbage()
  }
  return false
}

/** The size of the heap in bytes, of what is in use. */
export async function heapInUse(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    await setImmediate()
    collectGarbage()
  }
  return process.memoryUsage().heapUsed
}

/**
 * What `measure` measures in bytes, in the middle of five times.
 * The first time is not counted: it goes to what is made once for all, as is what comes at a time of its own (code that
 * is compiled, a list that grows), which is some 300 KB at once.
 */
export async function bytesUsually(measure: () => Promise<number>): Promise<number> {
  await measure()
  const times: number[] = []
  for (let time = 0; time < 5; time++) times.push(await measure())
  return times.toSorted((a, b) => a - b)[2] as number
}

/** The same in bytes when only what is young was collected: as a server is most of the time. */
export async function heapAfterYoungCollection(): Promise<number> {
  await setImmediate()
  collectGarbage('minor')
  return process.memoryUsage().heapUsed
}

function isAlive(ref: WeakRef<object>): boolean {
  return ref.deref() !== undefined
}

/** All of it, or what is young, at once. */
export function collectGarbage(type: 'major' | 'minor' = 'major'): void {
  const { gc, Bun } = globalThis as { gc?: (options: object) => void; Bun?: { gc(force: boolean): void } }
  if (Bun !== undefined) Bun.gc(true)
  else if (gc !== undefined) gc({ type })
  else throw new Error('The tests need Node with --expose-gc: run them by vitest.')
}
