import { Child } from './child.ts'
import type { MemoryRow } from './row.ts'
import { Samples } from './samples.ts'
import { shuffled } from './shuffled.ts'

/** Measures the heap bytes of a thing. Each side runs in a new process, one after the other. */
export async function measureMemory(
  row: MemoryRow,
  { node, rounds }: { node: string; rounds: number },
): Promise<Samples> {
  const samples = new Samples()
  for (let round = 0; round < rounds; round++) {
    for (const { name } of shuffled(row.sides)) samples.add(name, 'bytes', await bytesOf(row, name, node, row.count))
  }
  return samples
}

/** Makes a few things of each side. Measures nothing. */
export async function checkMemory(row: MemoryRow, node: string): Promise<void> {
  await Promise.all(row.sides.map(({ name }) => bytesOf(row, name, node, 3)))
}

async function bytesOf(row: MemoryRow, side: string, node: string, count: number): Promise<number> {
  const child = new Child('memory-side', [row.name, side], { node })
  try {
    await child.first
    return (await child.ask({ ask: 'bytes', count }, 'bytes')).bytes
  } finally {
    await child.stop()
  }
}
