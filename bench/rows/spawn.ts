import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { type MicroRow, noPeerFaster, ofFloor, ours } from '../harness/row.ts'
import { spawns } from './tasks.ts'

interface Store {
  tenant: string
  user: string
}

export const inherit: MicroRow = {
  kind: 'micro',
  name: 'spawn-inherit',
  title: '`spawn`, inherit, to its end',
  about:
    'A task with one await is started in a request with two values, sees them, ends, and is forgotten; its failure would ' +
    'be reported. 100 at a time.',
  sides: [
    {
      name: 'run({...}, fn).catch and registry',
      role: 'floor',
      setup() {
        const storage = new AsyncLocalStorage<Store>()
        const registry = new Set<object>()
        return spawns('ann', (tasks) => ({
          spawn(fn) {
            const store = { ...(storage.getStore() as Store) }
            registry.add(store)
            storage.run(store, fn).then(
              () => registry.delete(store),
              (error) => {
                registry.delete(store)
                tasks.report(error)
              },
            )
          },
          see: () => storage.getStore()?.user,
          owned: () => registry.size,
          within: (loop) => storage.run({ tenant: 'acme', user: 'ann' }, loop),
        }))
      },
    },
    {
      name: ours,
      role: 'ours',
      setup: () => oursIn(),
    },
    {
      name: `${ours}, limits of a server`,
      role: 'reference',
      setup: () => oursIn('limits'),
    },
    {
      name: 'bare promise',
      role: 'reference',
      setup() {
        const storage = new AsyncLocalStorage<Store>()
        return spawns('ann', (tasks) => ({
          spawn: (fn) => void fn().catch(tasks.report),
          see: () => storage.getStore()?.user,
          owned: undefined,
          within: (loop) => storage.run({ tenant: 'acme', user: 'ann' }, loop),
        }))
      },
    },
    {
      name: 'p-limit',
      role: 'peer',
      async setup() {
        const { default: pLimit } = await import('p-limit')
        const limit = pLimit(1000)
        const storage = new AsyncLocalStorage<Store>()
        return spawns('ann', (tasks) => ({
          spawn: (fn) => void limit(fn).catch(tasks.report),
          see: () => storage.getStore()?.user,
          owned: () => limit.activeCount + limit.pendingCount,
          within: (loop) => storage.run({ tenant: 'acme', user: 'ann' }, loop),
        }))
      },
    },
    {
      name: 'p-queue',
      role: 'peer',
      async setup() {
        const { default: PQueue } = await import('p-queue')
        const queue = new PQueue({ concurrency: 1000 })
        const storage = new AsyncLocalStorage<Store>()
        return spawns('ann', (tasks) => ({
          spawn: (fn) => void queue.add(fn).catch(tasks.report),
          see: () => storage.getStore()?.user,
          owned: () => queue.size + queue.pending,
          within: (loop) => storage.run({ tenant: 'acme', user: 'ann' }, loop),
        }))
      },
    },
  ],
  targets: [ofFloor(1.3), noPeerFaster],
}

async function oursIn(limits?: 'limits') {
  const { ContextVar, currentSignal, runInScope, serverLimits, spawn, TaskGroup } = await import('logical-context')
  const [tenant, user] = [new ContextVar<string>('tenant'), new ContextVar<string>('user')]
  return spawns('ann', (tasks) => {
    const group = new TaskGroup({ onError: tasks.report, ...(limits === undefined ? {} : serverLimits) })
    return {
      spawn: (fn) => void spawn(fn, { name: 'work' }),
      see: () => (assert.ok(currentSignal()), user.get()),
      owned: () => group.tasks.size,
      within: (loop) =>
        runInScope(
          () => {
            tenant.set('acme')
            user.set('ann')
            return loop()
          },
          { group },
        ),
    }
  })
}
