import type { Work } from './row.ts'

/** Operations that only start something are waited for in groups of so many, as a server has that many under way. */
const groupSize = 100

/** Where results go: a compiler must not find out that nobody needs them. */
let sink: unknown

/** A batch in which something else had the processor is taken again, so often at most. */
const attempts = 6
/** Between two ticks of the scheduler the processor time of a thread stands still. */
const tickNs = 5e6

/** Nanoseconds that one operation took, over `count` of them; of several attempts the one that was disturbed least. */
export async function timeUndisturbed(work: Work, count: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < attempts; attempt++) {
    const { clockNs, ranNs } = await timeBatch(work, count)
    least = Math.min(least, clockNs)
    if (clockNs - ranNs < tickNs + clockNs / 20) break
  }
  return least / count / (work.units ?? 1)
}

/** How long `count` operations took by the clock, and how long of it this thread ran. */
async function timeBatch(work: Work, count: number): Promise<{ clockNs: number; ranNs: number }> {
  const within = work.within ?? ((loop) => loop())
  const [begun, usage] = [process.hrtime.bigint(), process.threadCpuUsage()]
  await within(() => runLoop(work, count))
  const { user, system } = process.threadCpuUsage(usage)
  return { clockNs: Number(process.hrtime.bigint() - begun), ranNs: (user + system) * 1000 }
}

/** For an operation that never gets steady. */
const warmUpLimitMs = 4000

/**
 * How many operations take `batchMs`. Warms up on the way, until three batches in a row are not faster and the process has
 * had `warmUpMs` of processor time: by the clock nobody knows what a compiler has had time for on a busy machine.
 */
export async function calibrate(work: Work, batchMs: number, warmUpMs: number): Promise<number> {
  const batchNs = batchMs * 1e6
  const limit = performance.now() + warmUpLimitMs
  const least = work.awaited ? 1 : groupSize
  let [count, best, steady] = [least, Number.POSITIVE_INFINITY, 0]
  while ((steady < 3 || process.cpuUsage().user < warmUpMs * 1000) && performance.now() < limit) {
    const nsPerOp = (await timeBatch(work, count)).clockNs / count
    steady = nsPerOp > 0.9 * best ? steady + 1 : 0
    best = Math.min(best, nsPerOp)
    count = Math.max(1, Math.round(Math.min(4 * count, batchNs / nsPerOp) / least)) * least
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
    while (!settled()) await Promise.resolve()
  }
}

/** For those who read the last result. */
export function lastResult(): unknown {
  return sink
}
