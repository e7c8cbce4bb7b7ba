import { bind, ContextVar, runInScope, spawn, type Task, TaskGroup, type TaskGroupOptions } from 'logical-context'
import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, expect, it, vi } from 'vitest'
import { serverLimits } from '../../src/tasks/task-limits.ts'

const user = new ContextVar<string>('user')
const tick = () => new Promise<void>((resolve) => setImmediate(resolve))
const never = () => new Promise<never>(() => {})

/** A group, and a door for each of its tasks; tasks are named by their number. */
class Shop {
  readonly group: TaskGroup
  readonly begun: number[] = []
  readonly tasks: Task[] = []
  readonly #doors: PromiseWithResolvers<void>[] = []

  constructor(options: TaskGroupOptions) {
    this.group = new TaskGroup(options)
  }

  spawn(count = 1): void {
    for (let i = 0; i < count; i++) {
      const number = this.#doors.push(Promise.withResolvers<void>()) - 1
      const body = () => {
        this.begun.push(number)
        return this.#doors[number]?.promise
      }
      this.tasks.push(this.group.spawn(body, { name: `${number}` }))
    }
  }

  async open(...numbers: number[]): Promise<void> {
    for (const number of numbers) this.#doors[number]?.resolve()
    await tick()
  }
}

describe('maxConcurrent and maxQueued', () => {
  it('begin tasks in the order of their spawns, as others end', async () => {
    const shop = new Shop({ maxConcurrent: 2, maxQueued: 3 })

    shop.spawn(5)
    const first = [...shop.begun]
    await shop.open(1)
    const second = [...shop.begun]
    await shop.open(0, 2, 3, 4)

    expect(first).toEqual([0, 1])
    expect(second).toEqual([0, 1, 2])
    expect(shop.begun).toEqual([0, 1, 2, 3, 4])
  })

  it('count what runs, waits, has ended and was refused', async () => {
    const shop = new Shop({ maxConcurrent: 2, maxQueued: 1 })
    shop.spawn(3)

    const full = shop.group.counters
    const refused = [1, 2].map(() => errorOf(() => shop.group.spawn(never)))
    await shop.open(0, 1, 2)

    expect(full).toMatchObject({ running: 2, queued: 1, waiting: 0, refused: 0 })
    expect(refused).toMatchObject([{ code: 'LCTX_GROUP_FULL' }, { code: 'LCTX_GROUP_FULL' }])
    expect(shop.group.counters).toEqual({
      running: 0,
      queued: 0,
      waiting: 0,
      ended: 3,
      failed: 0,
      cancelled: 0,
      refused: 2,
      abandoned: 0,
    })
  })

  it('refuse with an error that names the task, the group and the limit, and spends no time on a stack', () => {
    const group = new TaskGroup({ name: 'mail', maxConcurrent: 1, maxQueued: 0 })
    group.spawn(never)
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 7

    const error = errorOf(() => group.spawn(never, { name: 'send-receipt' }))

    expect(error).toMatchObject({
      name: 'GroupFullError',
      message:
        "The group 'mail' refused the task 'send-receipt': it is full, with 1 running and 0 queued. " +
        "Spawn fewer tasks, raise the limit, or make spawners wait with whenFull: 'wait'.",
    })
    expect(error.stack).toBe(`GroupFullError: ${error.message}`)
    expect(Error.stackTraceLimit).toBe(7)
    Error.stackTraceLimit = stackTraceLimit
  })

  it('allow ten times as many waiting as running tasks by default', () => {
    const group = new TaskGroup({ maxConcurrent: 3 })
    for (let i = 0; i < 33; i++) group.spawn(never)

    expect(group.counters).toMatchObject({ running: 3, queued: 30 })
    expect(() => group.spawn(never)).toThrow(expect.objectContaining({ code: 'LCTX_GROUP_FULL' }))
  })

  it('accept exactly the cap of 100,000 spawns after a task that never ends', () => {
    const { maxConcurrent, maxQueued } = serverLimits
    const group = new TaskGroup({ maxConcurrent, maxQueued })
    const bytesBefore = heapBytes()

    let accepted = 0
    for (let i = 0; i < 100_000; i++) {
      try {
        group.spawn(never)
        accepted++
      } catch {
        continue
      }
    }
    const bytes = (heapBytes() - bytesBefore) / accepted

    console.log(`memory of a task that waits or runs: ${Math.round(bytes)} bytes`)
    expect(accepted).toBe(11_000)
    expect(group.counters).toMatchObject({ running: 1_000, queued: 10_000, refused: 89_000 })
    expect(bytes).toBeLessThan(3_000)
  })

  it('begin ten thousand tasks that end at once without a deep stack', async () => {
    const shop = new Shop({ maxConcurrent: 1, maxQueued: 10_000 })
    shop.spawn()
    let begun = 0
    for (let i = 0; i < 10_000; i++) shop.group.spawn(() => void begun++)

    await shop.open(0)

    expect(begun).toBe(10_000)
    expect(shop.group.tasks.length).toBe(0)
  })
})

describe('a queued task', () => {
  it.each(['inherit', 'isolate', 'share'] as const)('begins with what it saw at its spawn: %s', async (policy) => {
    const shop = new Shop({ maxConcurrent: 1, maxQueued: 1, policy })
    const trace = new AsyncLocalStorage<string>()
    let seen: unknown[] = []
    const look = async () => {
      await tick()
      seen = [user.get(), trace.getStore()]
    }
    const open = Promise.withResolvers<void>()

    const spawner = runInScope(async () => {
      user.set('spawner')
      runInScope(() => {
        user.set('who frees the place')
        trace.run('who frees the place', () => shop.spawn())
      })
      trace.run('spawner', () => shop.group.spawn(look))
      user.set('later')
      await open.promise
    })
    await runInScope(() => trace.run('who opens', () => shop.open(0)))
    await tick()
    open.resolve()
    await spawner

    const expected = { inherit: ['spawner', 'spawner'], isolate: [undefined, undefined], share: ['later', 'spawner'] }
    expect(seen).toEqual(expected[policy])
  })

  it.each<[string, (task: Task, controller: AbortController) => void]>([
    ['abort()', (task) => task.abort(new Error('not needed'))],
    ['the signal that it is cancelled with', (_task, controller) => controller.abort(new Error('not needed'))],
  ])('leaves the queue by %s, and never begins', async (_name, abort) => {
    const onError = vi.fn()
    const shop = new Shop({ maxConcurrent: 1, maxQueued: 2, onError })
    const controller = new AbortController()
    const body = vi.fn()
    shop.spawn()
    const task = shop.group.spawn(body, { name: 'report', cancelWith: controller.signal })
    shop.spawn()

    abort(task, controller)
    const { queued } = shop.group.counters
    await shop.open(0)
    const outcome = await task.result().catch((error: unknown) => error)

    expect(queued).toBe(1)
    expect(outcome).toMatchObject({
      code: 'LCTX_CANCELLED',
      message: "The task 'report' was aborted before it began. Spawn it again if its work is still needed.",
      cause: { message: 'not needed' },
    })
    expect(shop.begun).toEqual([0, 1])
    expect(body).not.toHaveBeenCalled()
    expect(onError).not.toHaveBeenCalled()
  })

  it('does not begin where its signal was aborted before the spawn', async () => {
    const shop = new Shop({ maxConcurrent: 1, maxQueued: 1 })
    const body = vi.fn()
    shop.spawn()

    shop.group.spawn(body, { cancelWith: AbortSignal.abort() })
    await shop.open(0)

    expect(body).not.toHaveBeenCalled()
    expect(shop.group.counters).toMatchObject({ running: 0, queued: 0, ended: 2 })
  })

  it('leaves with the request that it is cancelled with', async () => {
    const shop = new Shop({ maxConcurrent: 1, maxQueued: 1 })
    shop.spawn()

    const task = runInScope(
      (scope) => {
        const spawned = spawn(never, { cancelWith: 'request' })
        scope.abort(new Error('gone'))
        return spawned
      },
      { group: shop.group },
    )

    await expect(task.result()).rejects.toMatchObject({ code: 'LCTX_CANCELLED', cause: { message: 'gone' } })
  })

  it('is drained, and named as not begun where the limit comes first', async () => {
    const group = new TaskGroup({ maxConcurrent: 1, maxQueued: 2 })
    group.spawn(({ signal }) => new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())), {
      name: 'runs',
    })
    const last = group.spawn(never, { name: 'waits' })

    const report = await group.drain({ timeoutMs: 0, graceMs: 10_000 })

    expect(report.unfinished.map(({ name, began, ended }) => [name, began, ended])).toEqual([
      ['runs', true, true],
      ['waits', false, true],
    ])
    await expect(last.result()).rejects.toMatchObject({ code: 'LCTX_CANCELLED', cause: { code: 'LCTX_ABANDONED' } })
    expect(group.counters).toMatchObject({ abandoned: 2, running: 0, queued: 0 })
  })

  it('begins while its group drains', async () => {
    const shop = new Shop({ maxConcurrent: 1, maxQueued: 2 })
    shop.spawn(3)

    const drained = shop.group.drain()
    await shop.open(0, 1, 2)

    expect(await drained).toMatchObject({ finished: 3, unfinished: [] })
  })
})

describe('maxPerRequest', () => {
  it('bounds the tasks of one unit, and no others', () => {
    const shop = new Shop({ maxPerRequest: 2 })

    const errors = ['GET /a', 'GET /b'].map((name) =>
      runInScope(
        () => {
          shop.spawn(2)
          return errorOf(() => shop.spawn())
        },
        { name },
      ),
    )

    expect(errors.map(({ message }) => message)).toEqual([
      expect.stringContaining("'GET /a' has 2 running and queued there, the maximum for one unit"),
      expect.stringContaining("'GET /b' has 2 running and queued there, the maximum for one unit"),
    ])
    expect(shop.group.counters).toMatchObject({ running: 4, refused: 2 })
  })

  it('counts what has not ended, in each group for itself', async () => {
    const [mail, search] = [new Shop({ maxPerRequest: 1 }), new Shop({ maxPerRequest: 1 })]

    await runInScope(async () => {
      mail.spawn()
      search.spawn()
      await mail.open(0)
      mail.spawn()

      expect(() => search.spawn()).toThrow(expect.objectContaining({ code: 'LCTX_GROUP_FULL' }))
    })

    expect(mail.begun).toEqual([0, 1])
  })

  it('does not bound what is spawned outside any unit', () => {
    const shop = new Shop({ maxPerRequest: 1 })

    shop.spawn(3)

    expect(shop.begun).toEqual([0, 1, 2])
  })
})

describe("whenFull: 'reject'", () => {
  it('is the default', () => {
    for (const options of [{}, { whenFull: 'reject' }] as const) {
      const group = new TaskGroup({ maxConcurrent: 1, maxQueued: 0, ...options })
      group.spawn(never)

      expect(() => group.spawn(never)).toThrow(expect.objectContaining({ code: 'LCTX_GROUP_FULL' }))
    }
  })
})

describe("whenFull: 'wait'", () => {
  it('makes a spawner wait until its task has a slot', async () => {
    const shop = new Shop({ maxConcurrent: 1, maxQueued: 1, whenFull: 'wait' })
    const events: string[] = []
    shop.spawn(2)

    const spawner = (async () => {
      shop.spawn()
      await shop.tasks[2]?.accepted()
      events.push('accepted')
    })()
    await tick()
    events.push('a place is free')
    await shop.open(0)

    await spawner
    expect(events).toEqual(['a place is free', 'accepted'])
    expect(shop.begun).toEqual([0, 1])
    expect(shop.group.counters).toMatchObject({ running: 1, queued: 1, waiting: 0 })
  })

  it('takes what has a place at once', async () => {
    const shop = new Shop({ maxConcurrent: 1, maxQueued: 1, whenFull: 'wait' })
    shop.spawn(2)

    await Promise.all(shop.tasks.map((task) => task.accepted()))

    expect(shop.group.counters).toMatchObject({ running: 1, queued: 1, waiting: 0 })
  })

  it('keeps a spawner that waits as slow as its tasks', async () => {
    const group = new TaskGroup({ maxConcurrent: 2, maxQueued: 0, whenFull: 'wait' })
    let most = 0
    for (let i = 0; i < 50; i++) {
      await group.spawn(() => tick()).accepted()
      most = Math.max(most, group.tasks.length)
    }

    expect(most).toBe(2)
  })

  it('defers tasks of a full unit for their unit only', async () => {
    const shop = new Shop({ maxPerRequest: 1, whenFull: 'wait' })

    runInScope(() => shop.spawn(2))
    runInScope(() => shop.spawn(1))
    const before = [...shop.begun]
    await shop.open(0)

    expect(before).toEqual([0, 2])
    expect(shop.begun).toEqual([0, 2, 1])
    expect(shop.group.counters).toMatchObject({ running: 2, waiting: 0 })
  })

  it('counts a task that has waited for its unit among those that the unit has', async () => {
    const shop = new Shop({ maxPerRequest: 1, whenFull: 'wait' })

    const spawnOne = runInScope(() => {
      shop.spawn(2)
      return bind(() => shop.spawn())
    })
    await shop.open(0)
    spawnOne()
    const one = [...shop.begun]
    await shop.open(1)

    expect([one, shop.begun]).toEqual([
      [0, 1],
      [0, 1, 2],
    ])
    expect(shop.group.counters).toMatchObject({ running: 1, waiting: 0 })
  })

  it('withdraws a task for which its unit has a slot, but the group has none', async () => {
    const shop = new Shop({ maxConcurrent: 2, maxQueued: 0, maxPerRequest: 1, whenFull: 'wait' })
    runInScope(() => shop.spawn(2))
    shop.spawn(2)
    await shop.open(0)
    const before = [[...shop.begun], shop.group.counters.waiting]

    shop.tasks[1]?.abort()
    const { waiting } = shop.group.counters
    await shop.open(2)

    expect(before).toEqual([[0, 2, 3], 1])
    expect(waiting).toBe(0)
    expect(shop.begun).toEqual([0, 2, 3])
    expect(shop.group.counters).toMatchObject({ running: 1, waiting: 0 })
  })

  it('leaves no rejection unhandled if a task is aborted that no code awaits any more', async () => {
    const shop = new Shop({ maxConcurrent: 1, maxQueued: 0, whenFull: 'wait' })
    const unhandled: unknown[] = []
    const onUnhandled = (error: unknown) => unhandled.push(error)
    process.on('unhandledRejection', onUnhandled)
    shop.spawn(2)

    void shop.tasks[1]?.accepted()
    shop.tasks[1]?.abort()
    await tick()
    process.off('unhandledRejection', onUnhandled)

    expect(unhandled).toEqual([])
  })

  it('throws to a spawner whose task was aborted before', async () => {
    const shop = new Shop({ maxConcurrent: 1, maxQueued: 0, maxPerRequest: 2, whenFull: 'wait' })
    runInScope(() => shop.spawn(3))
    const [, outside, parked] = shop.tasks
    const accepted = [outside, parked].map((task) => task?.accepted())

    const before = shop.group.counters
    parked?.abort()
    outside?.abort()

    expect(before).toMatchObject({ running: 1, queued: 0, waiting: 2 })
    for (const promise of accepted) await expect(promise).rejects.toMatchObject({ code: 'LCTX_CANCELLED' })
    expect(shop.group.counters).toMatchObject({ running: 1, queued: 0, waiting: 0 })
  })
})

describe('the limits of a group', () => {
  it.each<[string, TaskGroupOptions, string]>([
    [
      'no place at all',
      { maxConcurrent: 0 },
      "option 'maxConcurrent' expected a whole number of at least 1, or Infinity, got 0.",
    ],
    [
      'half a task',
      { maxConcurrent: 1.5 },
      "option 'maxConcurrent' expected a whole number of at least 1, or Infinity, got 1.5.",
    ],
    [
      'a queue of less than nothing',
      { maxConcurrent: 1, maxQueued: -1 },
      "option 'maxQueued' expected a whole number of at least 0, or Infinity, got -1.",
    ],
    [
      'a queue for nothing',
      { maxQueued: 10 },
      "option 'maxQueued' expected 'maxConcurrent' with it, got none: without it, no task is queued.",
    ],
    [
      'text',
      { maxPerRequest: '1' as never },
      "option 'maxPerRequest' expected a whole number of at least 1, or Infinity, got '1'.",
    ],
    [
      'an unknown way to be full',
      { maxConcurrent: 1, whenFull: 'drop' as never },
      "option 'whenFull' expected 'reject' or 'wait', got 'drop'.",
    ],
    [
      'a way to be full of what is never full',
      { whenFull: 'wait' },
      "option 'whenFull' expected 'maxConcurrent' or 'maxPerRequest' with it, got neither.",
    ],
  ])('reject %s', (_name, options, message) => {
    expect(() => new TaskGroup(options)).toThrow(TypeError)
    expect(() => new TaskGroup(options)).toThrow(`TaskGroup: ${message}`)
  })

  it('hold through what a bound callback spawns: the unit is the one that has bound it', () => {
    const shop = new Shop({ maxPerRequest: 1 })
    const later = runInScope(() => {
      shop.spawn()
      return bind(() => shop.spawn())
    })

    expect(later).toThrow(expect.objectContaining({ code: 'LCTX_GROUP_FULL' }))
  })
})

function errorOf(fn: () => unknown): Error {
  try {
    fn()
  } catch (error) {
    return error as Error
  }
  return expect.unreachable('expected an error')
}

function heapBytes(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
