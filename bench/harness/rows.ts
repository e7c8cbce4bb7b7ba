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
  switch (row.kind) {
    case 'micro':
    case 'growth':
      return checkMicro(row, node)
    case 'memory':
      return checkMemory(row, node)
    case 'fastify':
      return checkServers(row, node)
  }
}

/** Measures all sides of a row in turn. */
export function measureRow(row: Row, { node, quick, rounds }: RunOptions): Promise<Samples> {
  switch (row.kind) {
    case 'micro': {
      const [usual, batches, batchMs] = quick ? [1, 7, 15] : [2, 11, 25]
      return measureMicro(row, { node, rounds: rounds ?? usual, batches, batchMs })
    }
    case 'growth': {
      const [batches, batchMs] = quick ? [3, 10] : [7, 20]
      return measureMicro(row, { node, rounds: rounds ?? 1, batches, batchMs })
    }
    case 'memory':
      return measureMemory(row, { node, rounds: rounds ?? (quick ? 1 : 3) })
    case 'fastify': {
      const [usual, windowMs, warmUpRequests] = quick ? [3, 400, 6_000] : [5, 1000, 20_000]
      return measureServers(row, { node, windows: rounds ?? usual, windowMs, connections: 50, warmUpRequests })
    }
  }
}
