import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { type MicroRow, ofFloor, ours } from '../harness/row.ts'
import { nestCls } from './peers.ts'
import { type Spawner, type SpawnerSide, type Tasks, timed } from './tasks.ts'

const storage = new AsyncLocalStorage<{ user: string }>()
const see = () => storage.getStore()?.user
const within: Spawner['within'] = (loop) => storage.run({ user: 'ann' }, loop)

const byRoot: SpawnerSide = {
  name: 'AsyncResource of a root and registry',
  role: 'floor',
  make(tasks) {
    const root = new AsyncResource('root')
    return leaving(tasks, (fn) => root.runInAsyncScope(fn), see, within)
  },
}

export const bySpawnIsolated: SpawnerSide = {
  name: ours,
  role: 'ours',
  async make(tasks) {
    const { ContextVar, runInScope, spawn, TaskGroup } = await import('logical-context')
    const user = new ContextVar<string>('user')
    const group = new TaskGroup({ onError: tasks.report })
    return {
      spawn: (fn) => void spawn(fn, { name: 'work', policy: 'isolate' }),
      see: () => user.get(),
      owned: () => group.tasks.length,
      within: (loop) =>
        runInScope(
          () => {
            user.set('ann')
            return loop()
          },
          { group },
        ),
    }
  },
}

const byRunOfNothing: SpawnerSide = {
  name: 'run(undefined) and registry',
  role: 'peer',
  make: (tasks) => leaving(tasks, (fn) => storage.run(undefined as never, fn), see, within),
}

const byClsExit: SpawnerSide = {
  name: 'cls.exit and registry',
  role: 'peer',
  async make(tasks) {
    const cls = await nestCls()
    return leaving(
      tasks,
      (fn) => cls.exit(fn),
      () => cls.get('user'),
      (loop) => cls.runWith({ user: 'ann' }, loop),
    )
  },
}

const byRootAlone: SpawnerSide = {
  name: 'AsyncResource of a root, no registry',
  role: 'reference',
  make(tasks) {
    const root = new AsyncResource('root')
    return { spawn: (fn) => void root.runInAsyncScope(fn).catch(tasks.report), see, owned: undefined, within }
  },
}

export const isolate: MicroRow = {
  kind: 'micro',
  name: 'spawn-isolate',
  title: '`spawn`, isolate, to its end',
  about:
    'The same task, without the values of the request. All sides report a failure. All sides except the last keep ' +
    'a registry of pending tasks.',
  sides: [byRoot, bySpawnIsolated, byRunOfNothing, byClsExit, byRootAlone].map((side) => timed(side, undefined)),
  targets: [ofFloor(1.5)],
}

function leaving(
  tasks: Tasks,
  leave: (fn: () => Promise<void>) => Promise<void>,
  seeHere: Spawner['see'],
  withinRequest: Spawner['within'],
): Spawner {
  const registry = new Set<() => Promise<void>>()
  return {
    spawn(fn) {
      const task = () => fn()
      registry.add(task)
      leave(task).then(
        () => registry.delete(task),
        (error) => {
          registry.delete(task)
          tasks.report(error)
        },
      )
    },
    see: seeHere,
    owned: () => registry.size,
    within: withinRequest,
  }
}
