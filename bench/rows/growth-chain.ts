import assert from 'node:assert/strict'
import { type GrowthRow, type GrowthSide, ours, type Role, type Work } from '../harness/row.ts'
import { atSizes, pointOf } from './curves.ts'
import { bySpawnIsolated } from './isolate.ts'
import { byHand, bySpawn } from './spawners.ts'
import { type SpawnerSide, Tasks } from './tasks.ts'

const [smallest, largest] = [1, 1000]

export const growthChain: GrowthRow = {
  kind: 'growth',
  name: 'growth-chain',
  title: 'Depth of a chain: a task spawns its successor',
  about: 'Each task spawns the next one and ends. The figure is that of one task of the chain.',
  axis: 'tasks in the chain',
  sides: [
    ...curve(ours, 'ours', bySpawn, 'ann'),
    ...curve(`${ours}, isolate`, 'reference', bySpawnIsolated, undefined),
    ...curve(byHand.name, 'floor', byHand, 'ann'),
  ],
  targets: [
    {
      words: `flat: at ${largest} at most 1.5 times what it is at ${smallest}`,
      figure: 'ns',
      against: pointOf(ours, smallest),
      atMost: 1.5,
    },
  ],
}

function curve(line: string, role: Role, { make }: SpawnerSide, expected: string | undefined): GrowthSide[] {
  return atSizes([smallest, 10, 100, largest], line, role, async (size): Promise<Work> => {
    const tasks = new Tasks()
    const { spawn, see, within } = await make(tasks)
    let ended = () => {}
    let seen: string | undefined
    const link = (left: number) => {
      spawn(async () => {
        await Promise.resolve()
        if (left > 1) return link(left - 1)
        seen = see()
        ended()
      })
    }
    const op = () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      ended = resolve
      link(size)
      return promise
    }
    const check = async () => {
      await within(op)
      assert.equal(seen, expected)
      assert.deepEqual(tasks.failures, [])
    }
    return { op, within, check, awaited: true, units: size }
  })
}
