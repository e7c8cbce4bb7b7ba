import { setImmediate as tick } from 'node:timers/promises'
import {
  currentSignal,
  gather,
  race,
  runInScope,
  spawn,
  type Task,
  TaskGroup,
  withTaskGroup,
  withTimeout,
} from 'logical-context'
import { describe, expect, it } from 'vitest'

/** Recursion over the levels would overflow the stack. `npm run hostile` sets 100,000. */
const depth = Number(process.env['DEPTH'] ?? 10_000)
const minute = 60_000

/** Calls itself inside a combinator. The await keeps the stack short while the calls begin. */
type Walk = (left: number, end: (signal: AbortSignal) => Promise<void>) => Promise<void>

const ways: [name: string, walk: Walk][] = [
  ['gather', nested((inner) => gather([inner]))],
  ['race', nested((inner) => race([inner]))],
  ['withTaskGroup', nested((inner) => withTaskGroup((group) => void group.spawn(inner)))],
  ['withTimeout', nested((inner) => withTimeout(inner, minute))],
]

function nested(call: (inner: (scope: { readonly signal: AbortSignal }) => Promise<void>) => Promise<unknown>): Walk {
  const walk: Walk = async (left, end) => {
    await Promise.resolve()
    await call((scope) => (left === 0 ? end(scope.signal) : walk(left - 1, end)))
  }
  return walk
}

describe.each(ways)('%s, nested deeply', { timeout: 120_000 }, (_, walk) => {
  it('begins and settles', async () => {
    let ended = 0

    await runInScope(() => walk(depth, async () => void ended++))

    expect(ended).toBe(1)
  })

  it('aborts with the request', async () => {
    const gone = new Error('gone')
    const begun = Promise.withResolvers<AbortSignal>()

    const outcome = await runInScope(async (scope) => {
      const walking = walk(depth, async (signal) => {
        begun.resolve(signal)
        await aborted(signal)
      })
      const failure = walking.catch((error: unknown) => error)
      const signal = await begun.promise
      scope.abort(gone)
      expect(signal.reason).toBe(gone)
      return failure
    })

    expect(outcome).toBe(gone)
  })
})

describe.each(ways)('%s, nested deeply, in other endings', { timeout: 120_000 }, (_, walk) => {
  it('aborts at the deadline of the request', async () => {
    const begun = Promise.withResolvers<void>()

    const outcome = await runInScope(async (scope) => {
      const walking = walk(depth, async (signal) => {
        begun.resolve()
        await aborted(signal)
      })
      const failure = walking.catch((error: unknown) => error)
      await begun.promise
      scope.expireAt(Date.now())
      return failure
    })

    expect(outcome).toMatchObject({ code: 'LCTX_DEADLINE' })
  })

  it('aborts at the limit of a drain, in a task', async () => {
    const group = new TaskGroup({ onError: () => {} })
    const begun = Promise.withResolvers<void>()
    const task = group.spawn(() =>
      walk(depth, async (signal) => {
        begun.resolve()
        await aborted(signal)
      }),
    )
    await begun.promise

    const { unfinished } = await group.drain({ timeoutMs: 0, graceMs: minute })

    expect(unfinished.map(({ ended }) => ended)).toEqual([true])
    await expect(task.result()).rejects.toMatchObject({ code: 'LCTX_ABANDONED' })
    expect(group.counters).toMatchObject({ failed: 0, cancelled: 1 })
  })
})

describe('deeply nested tasks', { timeout: 120_000 }, () => {
  it('abort at the limit of a drain, and are reported', async () => {
    const group = new TaskGroup({ onError: () => {} })
    const bottom = Promise.withResolvers<void>()
    let open = 0
    const descend = async (left: number): Promise<void> => {
      open++
      await Promise.resolve()
      if (left === 0) bottom.resolve()
      else spawn(() => descend(left - 1))
      await new Promise((resolve) => currentSignal()?.addEventListener('abort', resolve, { once: true }))
      open--
    }

    runInScope(() => spawn(() => descend(depth)), { group })
    await bottom.promise
    const { unfinished } = await group.drain({ timeoutMs: 0, graceMs: minute })

    expect([open, unfinished.length, unfinished.every(({ ended }) => ended)]).toEqual([0, depth + 1, true])
  })
})

describe('a chain of tasks that are cancelled with each other’s signal', { timeout: 120_000 }, () => {
  it('aborts 20,000 deep', () => {
    const group = new TaskGroup()
    const tasks: Task[] = [group.spawn(() => new Promise(() => {}))]
    for (let index = 0; index < 20_000; index++) {
      tasks.push(group.spawn(() => new Promise(() => {}), { cancelWith: (tasks.at(-1) as Task).signal }))
    }

    tasks[0]?.abort(new Error('gone'))

    expect(tasks.every(({ signal }) => signal.aborted)).toBe(true)
  })
})

describe('a stack that overflows in a spawn', { timeout: 120_000 }, () => {
  it.each([{}, { maxConcurrent: 1_000_000, maxPerRequest: 1_000_000 }])(
    'loses no task and no slot: %j',
    async (limits) => {
      const group = new TaskGroup({ ...limits, onError: () => {} })

      for (let round = 0; round < 60; round++) {
        runInScope(
          () => {
            const dive = (): void => {
              try {
                group.spawn(round % 2 === 0 ? dive : async () => dive())
              } catch {
                // The stack is full.
              }
            }
            dive()
          },
          { group },
        )
      }
      await tick()
      const { unfinished } = await group.drain({ timeoutMs: 5_000 })

      expect(unfinished).toEqual([])
      expect(group.counters).toMatchObject({ running: 0, queued: 0, waiting: 0 })
    },
  )
})

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason))
  })
}
