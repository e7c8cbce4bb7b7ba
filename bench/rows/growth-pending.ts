import type { GrowthRow, GrowthSide, Work } from '../harness/row.ts'
import { ours } from '../harness/row.ts'
import { atSizes, pointOf } from './curves.ts'
import { byHand, byLimit, byQueue, bySpawn } from './spawners.ts'
import { checkSpawner, type SpawnerSide, Tasks, turn, workOf } from './tasks.ts'

const [smallest, largest] = [10, 100_000]

export const growthPending: GrowthRow = {
  kind: 'growth',
  name: 'growth-pending',
  title: 'Tasks pending: one more is spawned and ends',
  about: 'This number of tasks waits. More tasks are spawned, 100 at a time, and end.',
  axis: 'tasks pending',
  sides: [bySpawn, byHand, byLimit, byQueue].flatMap(curve),
  targets: [
    {
      words: `flat: at ${largest.toLocaleString('en')} at most 1.5 times what it is at ${smallest}`,
      figure: 'ns',
      against: pointOf(ours, smallest),
      atMost: 1.5,
    },
  ],
}

function curve({ name, role, make }: SpawnerSide): GrowthSide[] {
  return atSizes([smallest, 100, 1000, 10_000, largest], name, role, async (size): Promise<Work> => {
    const tasks = new Tasks()
    const spawner = await make(tasks)
    await checkSpawner(tasks, spawner, 'ann')
    const forever = new Promise<void>(() => {})
    await spawner.within(async () => {
      for (let i = 0; i < size; i++) spawner.spawn(() => forever)
      await turn()
    })
    const check = () => {
      const owned = spawner.owned?.()
      if (owned !== size) throw new Error(`Expected ${size} tasks pending, got ${owned}.`)
    }
    return { ...workOf(tasks, spawner), check }
  })
}
