// Ways to start tasks that see the values of their request.
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { ours } from '../harness/row.ts'
import type { Spawner, SpawnerSide, Tasks } from './tasks.ts'

interface Store {
  tenant: string
  user: string
}

const storage = new AsyncLocalStorage<Store>()
const see = () => storage.getStore()?.user
const within: Spawner['within'] = (loop) => storage.run({ tenant: 'acme', user: 'ann' }, loop)

export const byHand: SpawnerSide = {
  name: 'run({...}, fn).catch and registry',
  role: 'floor',
  make(tasks) {
    const registry = new Set<object>()
    return {
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
      see,
      owned: () => registry.size,
      within,
    }
  },
}

export const bySpawn: SpawnerSide = { name: ours, role: 'ours', make: (tasks) => spawnIn(tasks, 'no limits') }

export const bySpawnInServer: SpawnerSide = {
  name: `${ours}, limits of a server`,
  role: 'reference',
  make: (tasks) => spawnIn(tasks, 'limits of a server'),
}

export const byPromise: SpawnerSide = {
  name: 'bare promise',
  role: 'reference',
  make: (tasks) => ({ spawn: (fn) => void fn().catch(tasks.report), see, owned: undefined, within }),
}

export const byLimit: SpawnerSide = {
  name: 'p-limit',
  role: 'peer',
  async make(tasks) {
    const { default: pLimit } = await import('p-limit')
    const limit = pLimit(Number.POSITIVE_INFINITY)
    return {
      spawn: (fn) => void limit(fn).catch(tasks.report),
      see,
      owned: () => limit.activeCount + limit.pendingCount,
      within,
    }
  },
}

export const byQueue: SpawnerSide = {
  name: 'p-queue',
  role: 'peer',
  async make(tasks) {
    const { default: PQueue } = await import('p-queue')
    const queue = new PQueue()
    return {
      spawn: (fn) => void queue.add(fn).catch(tasks.report),
      see,
      owned: () => queue.size + queue.pending,
      within,
    }
  },
}

async function spawnIn(tasks: Tasks, limits: 'no limits' | 'limits of a server'): Promise<Spawner> {
  const { ContextVar, currentSignal, runInScope, spawn, TaskGroup } = await import('logical-context')
  const [tenant, user] = [new ContextVar<string>('tenant'), new ContextVar<string>('user')]
  const serverLimits = { maxConcurrent: 1_000, maxQueued: 10_000, maxPerRequest: 100 }
  const group = new TaskGroup({ onError: tasks.report, ...(limits === 'no limits' ? {} : serverLimits) })
  return {
    spawn: (fn) => void spawn(fn, { name: 'work' }),
    see() {
      assert.ok(currentSignal(), 'a task has a signal')
      return user.get()
    },
    // `group.tasks` copies its list.
    owned: () => group.counters.running + group.counters.queued + group.counters.waiting,
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
}
