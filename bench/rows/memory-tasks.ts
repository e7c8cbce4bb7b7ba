import { type MemoryRow, type MemorySide, ours } from '../harness/row.ts'
import { byHand, byLimit, byPromise, byQueue, bySpawn } from './spawners.ts'
import { checkSpawner, type SpawnerSide, Tasks, turn } from './tasks.ts'

export const memoryTasks: readonly MemoryRow[] = [10_000, 100_000].map((count) => ({
  kind: 'memory',
  name: `memory-tasks-${count}`,
  title: `A pending task, of ${count.toLocaleString('en')}`,
  about: 'Tasks of one request wait for one promise. A failure would be reported.',
  count,
  thing: 'pending task',
  sides: [
    { ...byPromise, role: 'floor' as const },
    bySpawn,
    { ...byHand, role: 'reference' as const },
    byLimit,
    byQueue,
  ].map(side),
  targets: [{ words: 'at most 1,000 B a task', figure: 'bytes', against: ours, atMostItself: 1000 }],
}))

function side({ name, role, make }: SpawnerSide): MemorySide {
  return {
    name,
    role,
    async prepare() {
      const tasks = new Tasks()
      const spawner = await make(tasks)
      await checkSpawner(tasks, spawner, 'ann')
      const gate = new Promise<void>(() => {})
      return (count) =>
        spawner.within(async () => {
          for (let i = 0; i < count; i++) {
            spawner.spawn(async () => {
              await gate
            })
          }
          await turn()
        })
    },
  }
}
