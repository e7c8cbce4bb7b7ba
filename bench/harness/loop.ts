import type { Work } from './row.ts'

/** Operations that only start something run in groups of this size: a server has as many requests in flight. */
const groupSize = 100

/** Keeps the last result, so that the compiler cannot remove the operation. */
let sink: unknown

/** How often a batch is repeated at most if another process used the CPU meanwhile. */
const attempts = 6
/** The CPU time of a thread only changes at the ticks of the scheduler. */
const tickNs = 5e6

/** Nanoseconds of one operation, measured over `count` operations. Of several attempts, the least disturbed one counts. */
export async function timeUndisturbed(work: Work, count: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < attempts; attempt++) {
    const { clockNs, ranNs } = await timeBatch(work, count)
    least = Math.min(least, clockNs)
    if (work.elsewhere || clockNs - ranNs < tickNs + clockNs / 20) break
  }
  return least / count / (work.units ?? 1)
}

/** The wall time of `count` operations, and the CPU time of this thread meanwhile. */
async function timeBatch(work: Work, count: number): Promise<{ clockNs: number; ranNs: number }> {
  const within = work.within ?? ((loop) => loop())
  const [begun, usage] = [process.hrtime.bigint(), process.threadCpuUsage()]
  await within(() => runLoop(work, count))
  const { user, system } = process.threadCpuUsage(usage)
  return { clockNs: Number(process.hrtime.bigint() - begun), ranNs: (user + system) * 1000 }
}

/** What a process does before it is measured, at least. */
export interface WarmUp {
  /** The CPU time of the process. On a busy machine, wall time does not show how long the compiler ran. */
  readonly ms: number
  readonly operations: number
}

/** A limit for an operation whose time never becomes steady. */
const warmUpLimitMs = 4000

/** The number of operations that take `batchMs`. Warms up until three batches in a row are not faster. */
export async function calibrate(work: Work, batchMs: number, warmUp: WarmUp): Promise<number> {
  if (work.elsewhere) return 1
  const batchNs = batchMs * 1e6
  const limit = performance.now() + warmUpLimitMs
  const least = work.awaited ? 1 : groupSize
  let [count, best, steady, done] = [least, Number.POSITIVE_INFINITY, 0, 0]
  const isWarm = () => steady >= 3 && done >= warmUp.operations && process.cpuUsage().user >= warmUp.ms * 1000
  while (!isWarm() && performance.now() < limit) {
    const nsPerOp = (await timeBatch(work, count)).clockNs / count
    done += count
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

/** The last result. */
export function lastResult(): unknown {
  return sink
}
