import { checkMemory, measureMemory } from './memory.ts'
import { checkMicro, measureMicro } from './micro.ts'
import type { Row } from './row.ts'
import type { Samples } from './samples.ts'
import { checkServers, measureServers } from './servers.ts'

export interface RunOptions {
  /** The program of Node. */
  readonly node: string
  readonly quick: boolean
  /** Default: what the kind of row needs for a steady median. */
  readonly rounds?: number
}

/** Sets all sides of a row up and asserts what they do. */
export function checkRow(row: Row, node: string): Promise<void> {
  if (row.kind === 'fastify') return checkServers(row, node)
  if (row.kind === 'memory') return checkMemory(row, node)
  return checkMicro(row, node)
}

/** Measures all sides of a row in turn. */
export function measureRow(row: Row, { node, quick, rounds }: RunOptions): Promise<Samples> {
  if (row.kind === 'memory') return measureMemory(row, { node, rounds: rounds ?? (quick ? 1 : 2) })
  if (row.kind === 'fastify') {
    const [usual, windowMs, warmUpRequests] = quick ? [3, 400, 10_000] : [5, 700, 20_000]
    return measureServers(row, { node, windows: rounds ?? usual, windowMs, connections: 50, warmUpRequests })
  }
  if (row.kind === 'micro' && row.windows !== undefined) {
    // On Node 22, V8 compiles the last functions of a request after about 15,000 requests.
    const warmUp = { ms: 0, operations: quick ? 5000 : 20_000 }
    // Long enough for a hundred requests, and too short for most interruptions.
    return measureMicro(row, { node, rounds: rounds ?? (quick ? 1 : 3), batches: 1, batchMs: 1, warmUp })
  }
  const [usual, batches] = row.kind === 'growth' ? [1, quick ? 3 : 7] : [quick ? 1 : 2, quick ? 7 : 11]
  const [batchMs, ms] = quick ? [15, 300] : [25, 400]
  return measureMicro(row, { node, rounds: rounds ?? usual, batches, batchMs, warmUp: { ms, operations: 0 } })
}
