import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { type MicroRow, noPeerFaster, ofFloor, ours } from '../harness/row.ts'
import { nestCls } from './peers.ts'
import { type Spawner, spawns, type Tasks } from './tasks.ts'

const storage = new AsyncLocalStorage<{ user: string }>()

export const isolate: MicroRow = {
  kind: 'micro',
  name: 'spawn-isolate',
  title: '`spawn`, isolate, to its end',
  about:
    'The same task, which sees nothing of the request; all sides but the last keep a registry of what is under way and ' +
    'report failures.',
  sides: [
    {
      name: 'AsyncResource of a root and registry',
      role: 'floor',
      setup() {
        const root = new AsyncResource('root')
        return isolated((fn) => root.runInAsyncScope(fn))
      },
    },
    {
      name: ours,
      role: 'ours',
      async setup() {
        const { ContextVar, runInScope, spawn, TaskGroup } = await import('logical-context')
        const user = new ContextVar<string>('user')
        return spawns(undefined, (tasks) => {
          const group = new TaskGroup({ onError: tasks.report })
          return {
            spawn: (fn) => void spawn(fn, { name: 'work', policy: 'isolate' }),
            see: () => user.get(),
            owned: () => group.tasks.size,
            within: (loop) =>
              runInScope(
                () => {
                  user.set('ann')
                  return loop()
                },
                { group },
              ),
          }
        })
      },
    },
    {
      name: 'run(undefined) and registry',
      role: 'peer',
      setup: () => isolated((fn) => storage.run(undefined as never, fn)),
    },
    {
      name: 'cls.exit and registry',
      role: 'peer',
      async setup() {
        const cls = await nestCls()
        return isolated(
          (fn) => cls.exit(fn) as Promise<void>,
          () => cls.get('user') as string | undefined,
          (loop) => cls.runWith({ user: 'ann' }, loop),
        )
      },
    },
    {
      name: 'AsyncResource of a root, no registry',
      role: 'reference',
      setup() {
        const root = new AsyncResource('root')
        return spawns(undefined, (tasks) => ({
            spawn: (fn) => void root.runInAsyncScope(fn).catch(tasks.report),
            see: () => storage.getStore()?.user,
            owned: undefined,
            within: (loop) => storage.run({ user: 'ann' }, loop),
        }))
      },
    },
  ],
  targets: [ofFloor(1.5), noPeerFaster],
}

function isolated(
  leave: (fn: () => Promise<void>) => Promise<void>,
  see: Spawner['see'] = () => storage.getStore()?.user,
  within: Spawner['within'] = (loop) => storage.run({ user: 'ann' }, loop),
) {
  const registry = new Set<() => Promise<void>>()
  return spawns(undefined, (tasks: Tasks) => ({
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
    see,
    owned: () => registry.size,
    within,
  }))
}
