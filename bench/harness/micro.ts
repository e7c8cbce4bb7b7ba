import { Child } from './child.ts'
import type { WarmUp } from './loop.ts'
import type { GrowthRow, MicroRow } from './row.ts'
import { Samples } from './samples.ts'
import { shuffled } from './shuffled.ts'

export interface MicroOptions {
  /** The path of the Node executable. */
  readonly node: string
  /** How often all sides start in new processes: compiled code differs between processes. */
  readonly rounds: number
  /** The number of batches of each side in a round. */
  readonly batches: number
  readonly batchMs: number
  readonly warmUp: WarmUp
}

/** Measures the sides of a row in turn: one batch each, in a random order each time. */
export async function measureMicro(row: MicroRow | GrowthRow, options: MicroOptions): Promise<Samples> {
  const samples = new Samples()
  const windows = row.kind === 'micro' ? (row.windows ?? 1) : 1
  for (let round = 0; round < options.rounds; round++) {
    await withSides(row, options.node, async (sides, bytes) => {
      for (const [name, written] of bytes) samples.add(name, 'bytes', written)
      const counts = new Map<string, number>()
      for (const [name, side] of shuffled(sides)) {
        const { batchMs, warmUp } = options
        const { count } = await side.ask({ ask: 'calibrate', batchMs, warmUp }, 'count')
        counts.set(name, count)
      }
      for (let batch = 0; batch < options.batches; batch++) {
        const fastest = new Map<string, number>()
        for (let window = 0; window < windows; window++) {
          for (const [name, side] of shuffled(sides)) {
            const { nsPerOp } = await side.ask({ ask: 'batch', count: counts.get(name) ?? 1 }, 'time')
            fastest.set(name, Math.min(nsPerOp, fastest.get(name) ?? Number.POSITIVE_INFINITY))
          }
        }
        for (const [name, ns] of fastest) samples.add(name, 'ns', ns)
      }
    })
  }
  return samples
}

/** Sets up all sides, or the first point of each curve, and runs their assertions. Measures nothing. */
export function checkMicro(row: MicroRow | GrowthRow, node: string): Promise<void> {
  if (row.kind === 'micro') return withSides(row, node, async () => {})
  const firsts = row.sides.filter(({ line }, i) => row.sides.findIndex((side) => side.line === line) === i)
  return withSides({ ...row, sides: firsts }, node, async () => {})
}

/** Starts a process for each side, with setup and assertions, and ends the processes when `use` settles. */
async function withSides(
  row: MicroRow | GrowthRow,
  node: string,
  use: (
    sides: (readonly [name: string, side: Child])[],
    bytes: (readonly [name: string, bytes: number])[],
  ) => Promise<void>,
): Promise<void> {
  const sides = row.sides.map(({ name }) => [name, new Child('micro-side', [row.name, name], { node })] as const)
  try {
    await Promise.all(sides.map(([, side]) => side.first))
    const checked = await Promise.all(
      sides.map(async ([name, side]) => [name, (await side.ask({ ask: 'check' }, 'done')).bytes] as const),
    )
    await use(
      sides,
      checked.flatMap(([name, bytes]) => (bytes === undefined ? [] : [[name, bytes] as const])),
    )
  } finally {
    await Promise.all(sides.map(([, side]) => side.stop()))
  }
}
