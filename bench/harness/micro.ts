import type { MicroRow } from './row.ts'
import { SideProcess } from './side-process.ts'

export interface MicroOptions {
  /** The program of Node. */
  readonly node: string
  /** How often all sides start in fresh processes: what a compiler makes of a side differs from process to process. */
  readonly rounds: number
  /** Batches of each side in a round. */
  readonly batches: number
  readonly batchMs: number
}

/** Nanoseconds an operation, by side; the sides' figures of one place were measured one after the other. */
export type Samples = Map<string, number[]>

/** Measures the sides of a row in turn: one batch each, in another order each time. */
export async function measureMicro(row: MicroRow, options: MicroOptions): Promise<Samples> {
  const samples: Samples = new Map(row.sides.map(({ name }) => [name, []]))
  for (let round = 0; round < options.rounds; round++) {
    await withSides(row, options.node, async (sides) => {
      const counts = new Map<SideProcess, number>()
      for (const side of shuffled(sides)) {
        const answer = await side.ask({ ask: 'calibrate', batchMs: options.batchMs })
        if (answer.is === 'count') counts.set(side, answer.count)
      }
      for (let batch = 0; batch < options.batches; batch++) {
        for (const side of shuffled(sides)) {
          const answer = await side.ask({ ask: 'batch', count: counts.get(side) ?? 1 })
          if (answer.is === 'time') samples.get(side.name)?.push(answer.nsPerOp)
        }
      }
    })
  }
  return samples
}

/** Sets all sides up, asserts what they do, and measures nothing. */
export function checkMicro(row: MicroRow, node: string): Promise<void> {
  return withSides(row, node, async () => {})
}

/** All sides in processes of their own, set up and asserted, until `use` has ended. */
async function withSides(row: MicroRow, node: string, use: (sides: SideProcess[]) => Promise<void>): Promise<void> {
  const sides: SideProcess[] = []
  try {
    for (const { name } of row.sides) sides.push(new SideProcess(node, row.name, name))
    await Promise.all(sides.map((side) => side.ready))
    await Promise.all(sides.map((side) => side.ask({ ask: 'check' })))
    await use(sides)
  } finally {
    await Promise.all(sides.map((side) => side.stop()))
  }
}

function shuffled<T>(list: readonly T[]): T[] {
  const result = [...list]
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    ;[result[i], result[j]] = [result[j] as T, result[i] as T]
  }
  return result
}
