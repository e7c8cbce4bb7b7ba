import type { Work } from './row.ts'

/** Operations that only start something are waited for in groups of so many, as a server has that many under way. */
const groupSize = 100

/** Where results go: a compiler must not find out that nobody needs them. */
let sink: unknown

/** Nanoseconds that one operation took, over `count` of them. */
export async function timeBatch(work: Work, count: number): Promise<number> {
  const within = work.within ?? ((loop) => loop())
  const begun = process.hrtime.bigint()
  await within(() => runLoop(work, count))
  return Number(process.hrtime.bigint() - begun) / count
}

/** How many operations take `batchMs`. Warms up on the way: it goes on until the count has been right three times. */
export async function calibrate(work: Work, batchMs: number): Promise<number> {
  const batchNs = batchMs * 1e6
  let count = groupSize
  for (let right = 0; right < 3;) {
    const tookNs = (await timeBatch(work, count)) * count
    if (tookNs > batchNs / 2 && tookNs < batchNs * 2) right++
    count = Math.max(groupSize, Math.round((count * Math.min(4, batchNs / tookNs)) / groupSize) * groupSize)
  }
  return count
}

export function runLoop(work: Work, count: number): void | Promise<void> {
  if (work.awaited) return awaitEach(work, count)
  if (work.settled) return settleGroups(work, work.settled, count)
  for (let i = 0; i < count; i++) sink = work.op()
}

async function awaitEach(work: Work, count: number): Promise<void> {
  for (let i = 0; i < count; i++) sink = await work.op()
}

async function settleGroups(work: Work, settled: () => boolean, count: number): Promise<void> {
  for (let begun = 0; begun < count; begun += groupSize) {
    const end = Math.min(count, begun + groupSize)
    for (let i = begun; i < end; i++) sink = work.op()
    while (!settled()) await undefined
  }
}

/** For those who read the last result. */
export function lastResult(): unknown {
  return sink
}
