import {
  currentSignal,
  race,
  runInScope,
  spawn,
  type Task,
  TaskGroup,
  withTaskGroup,
  withTimeout,
} from 'logical-context'
import { describe, expect, it } from 'vitest'
import { bytesUsually, collectGarbage, heapAfterYoungCollection, heapInUse } from '../flow/memory.ts'

/** What else the process does goes into the measure. */
const measured = { timeout: 60_000, retry: 2 }
const tick = () => new Promise<void>((resolve) => setImmediate(resolve))

/** How many of these objects are still held by something. */
async function held(refs: readonly WeakRef<object>[]): Promise<number> {
  // A WeakRef holds its target until the turn of the event loop has ended.
  for (let i = 0; i < 3; i++) {
    await tick()
    collectGarbage()
  }
  return refs.filter((ref) => ref.deref() !== undefined).length
}

describe('what has ended is forgotten', () => {
  /** How much is held, of what was made a hundred times, by a request that goes on. */
  async function leftInRequest(make: (refs: WeakRef<object>[]) => Promise<unknown>): Promise<number> {
    const refs: WeakRef<object>[] = []
    return runInScope(async (scope) => {
      for (let i = 0; i < 100; i++) await make(refs)
      expect(scope.signal.aborted).toBe(false)
      expect(refs.length).toBeGreaterThanOrEqual(100)
      return held(refs)
    })
  }

  it('a limit, by the request that goes on', async () => {
    const left = await leftInRequest((refs) =>
      withTimeout((limit) => {
        refs.push(new WeakRef(limit))
        return [limit.signal.aborted, currentSignal()?.aborted]
      }, 60_000),
    )

    // The last one may still be on the stack.
    expect(left).toBeLessThanOrEqual(1)
  })

  it('a limit, by the request that goes on, when the calls have ended too that were left behind in it', async () => {
    const left = await leftInRequest(async (refs) => {
      const open = Promise.withResolvers<void>()
      let call: Promise<boolean> | undefined
      await withTimeout((limit) => {
        refs.push(new WeakRef(limit))
        call = withTimeout(({ signal }) => open.promise.then(() => signal.aborted), 60_000)
      }, 60_000)
      open.resolve()
      await call
    })

    expect(left).toBeLessThanOrEqual(1)
  })

  it('a group, by the request that goes on', async () => {
    const left = await leftInRequest(async (refs) => {
      await withTaskGroup((group) => {
        refs.push(new WeakRef(group.signal))
        group.spawn(() => {})
      })
      await race([(task) => void refs.push(new WeakRef(task.group))])
    })

    expect(left).toBeLessThanOrEqual(2)
  })

  it('a task, by everything that it was cancelled with', async () => {
    const { signal } = new AbortController()
    const refs: WeakRef<Task>[] = []

    const left = await runInScope(() =>
      withTaskGroup(async (group) => {
        for (let i = 0; i < 100; i++) {
          group.spawn((task) => void refs.push(new WeakRef(task)), { cancelWith: signal })
          group.spawn((task) => void refs.push(new WeakRef(task)), { cancelWith: 'request' })
        }
        return held(refs)
      }),
    )

    expect(refs).toHaveLength(200)
    expect(left).toBeLessThanOrEqual(1)
  })

  it('a request, by its tasks and by the group that counts them', async () => {
    const group = new TaskGroup({ maxConcurrent: 100, maxPerRequest: 10 })
    const open = Promise.withResolvers<void>()
    const refs = Array.from({ length: 10 }, () =>
      runInScope(
        (scope) => {
          spawn(() => open.promise)
          return new WeakRef<object>(scope)
        },
        { group },
      ),
    )

    const left = await held(refs)
    open.resolve()

    expect(left).toBeLessThanOrEqual(1)
  })

  it('a task that was withdrawn, by the queue it was in', async () => {
    const group = new TaskGroup({ maxConcurrent: 1, maxQueued: 1000 })
    const open = Promise.withResolvers<void>()
    group.spawn(() => open.promise)
    const refs = Array.from({ length: 100 }, () => {
      const task = group.spawn(() => {})
      task.abort()
      return new WeakRef(task)
    })

    const left = await held(refs)
    open.resolve()

    expect(left).toBeLessThanOrEqual(1)
  })

  it('the tasks that came and went, by a signal of the program, and as soon as what is young is collected', async () => {
    const { signal } = new AbortController()
    const made = async () => Array.from({ length: 20 }, () => 0)
    const comeAndGo = async (rounds: number, collectEach: number) => {
      for (let round = 0; round < rounds; round++) {
        await runInScope(() =>
          Promise.all(Array.from({ length: 20 }, () => spawn(made, { cancelWith: signal }).result())),
        )
        if (round % collectEach === 0) await heapAfterYoungCollection()
      }
      return heapAfterYoungCollection()
    }
    const before = await comeAndGo(20, 1)

    const after = await comeAndGo(1000, 25)

    // With a Set in the place of the list: 3 MB and more.
    expect(after - before).toBeLessThan(1_000_000)
  })
})

describe('a task that pends', () => {
  it('takes at most 720 bytes, with its promise and the frame of its context', measured, async () => {
    const group = new TaskGroup()
    const gate = Promise.withResolvers<void>()
    const bytes = await bytesUsually(async () => {
      const before = await heapInUse()
      for (let i = 0; i < 5_000; i++) group.spawn(() => gate.promise)
      return ((await heapInUse()) - before) / 5_000
    })
    gate.resolve()

    expect(bytes).toBeLessThanOrEqual(720)
    expect(group.tasks.length).toBe(30_000)
  })
})
