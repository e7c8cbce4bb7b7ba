import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { inspect } from 'node:util'
import { setImmediate } from 'node:timers/promises'
import { ContextVar, current, runInScope, spawn, type Task, TaskGroup } from 'logical-context'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const user = new ContextVar<string>('user')
const kept = new ContextVar<string>('kept', { onSpawn: 'keep' })

describe('a task', () => {
  it('starts at once, on the spawner’s stack until its first await', async () => {
    const log: string[] = []

    await runInScope(async () => {
      const task = spawn(async () => {
        log.push('task begins')
        await Promise.resolve()
        log.push('task goes on')
      })
      log.push('after spawn()')
      await task.result()
    })

    expect(log).toEqual(['task begins', 'after spawn()', 'task goes on'])
  })

  it('is handed to its own function', async () => {
    const seen = await runInScope(() => {
      const task = spawn((self) => self.id, { name: 'reindex' })
      return task.result().then((id) => [task.id === id, task.name])
    })

    expect(seen).toEqual([true, 'reindex'])
  })

  it('is named after its function where it has no name', () => {
    const names = runInScope(() => {
      async function sendReceipt() {}
      return [spawn(sendReceipt).name, spawn(() => {}).name]
    })

    expect(names).toEqual(['sendReceipt', 'task'])
  })

  it('is accepted at once by a group without limits', async () => {
    await expect(new TaskGroup().spawn(() => {}).accepted()).resolves.toBe(undefined)
  })

  it('counts up its id', () => {
    const [first, second] = runInScope(() => [spawn(() => {}), spawn(() => {})])

    expect(second?.id).toBe((first?.id ?? 0) + 1)
  })

  it('shows what it sees now', async () => {
    const gate = Promise.withResolvers<void>()
    const task = runInScope(() => {
      user.set('ada')
      kept.set('kept')
      return spawn(async () => {
        user.set('grace')
        await gate.promise
      })
    })

    const during = task.context
    gate.resolve()
    await task.result()

    expect([during.get(user), during.get(kept)]).toEqual(['grace', 'kept'])
    expect([task.context.get(user), task.context.get(kept)]).toEqual([undefined, 'kept'])
  })

  it('is in its own unit: code that runs after its end is late, in every spawner', async () => {
    const gate = Promise.withResolvers<void>()
    const forgotten: Promise<unknown>[] = []

    await runInScope(
      async () => {
        user.set('ada')
        const task = spawn(() => {
          forgotten.push(gate.promise.then(() => [user.get(), kept.get()]))
          kept.set('kept')
        })
        await task.result()
        gate.resolve()
        return forgotten[0]
      },
      { onLateUse: () => {} },
    )

    expect(await Promise.all(forgotten)).toEqual([[undefined, 'kept']])
  })
})

describe('the result of a task', () => {
  it.each<[name: string, fn: () => unknown]>([
    ['a value', () => 7],
    ['a promise', async () => 7],
    ['a foreign thenable', () => ({ then: (resolve: (value: number) => void) => resolve(7) })],
    ['a callable thenable', () => Object.assign(() => {}, { then: (resolve: (value: number) => void) => resolve(7) })],
    ['a promise of another class', () => Foreign.resolve(7)],
  ])('is the result of every caller: %s', async (_, fn) => {
    const task = runInScope(() => spawn(fn))

    expect(await task.result()).toBe(7)
    expect(await task.result()).toBe(7)
  })

  it('is also the failure, for every caller', async () => {
    const error = new Error('failed')
    const onError = vi.fn()
    const task = runInScope(() =>
      spawn(
        async () => {
          throw error
        },
        { onError },
      ),
    )

    await expect(task.result()).rejects.toBe(error)
    expect(onError).toHaveBeenCalledExactlyOnceWith(error, task)
  })

  it('comes after the end: the values are dropped and the group has removed it', async () => {
    const group = new TaskGroup()
    const gate = Promise.withResolvers<void>()
    const task = group.spawn(async () => {
      user.set('ada')
      await gate.promise
    })

    const left = task.result().then(() => [group.tasks.length, task.context.has(user)])
    gate.resolve()

    expect(await left).toEqual([0, false])
  })

  it('calls `then` of a lazy thenable once, in the context of the task', async () => {
    const seen: unknown[] = []
    const lazy = {
      then(resolve: (value: string) => void) {
        seen.push(user.get())
        resolve('rows')
      },
    }

    const task = runInScope(() => user.run('ada', () => spawn<unknown>(() => lazy)))

    expect(await task.result()).toBe('rows')
    expect(seen).toEqual(['ada'])
  })
})

describe('the result of a task, read twice', () => {
  it('comes to both', async () => {
    const gate = Promise.withResolvers<number>()
    const task = runInScope(() => spawn(() => gate.promise))

    const results = [task.result(), task.result()]
    gate.resolve(7)

    expect(await Promise.all(results)).toEqual([7, 7])
  })

  it('is not an unhandled rejection if no code awaits it', async () => {
    const onUnhandled = vi.fn()
    process.on('unhandledRejection', onUnhandled)
    const fails = () => Promise.reject(new Error('fails'))

    const task = runInScope(() => spawn(fails, { onError: () => {} }))
    void task.result()
    await setImmediate()
    process.off('unhandledRejection', onUnhandled)

    expect(onUnhandled).not.toHaveBeenCalled()
  })
})

describe('the context of a task', () => {
  it('is empty where the task is only announced', () => {
    const seen: string[] = []
    const look = (event: unknown) => seen.push(String((event as { task: Task }).task.context))
    subscribe('logical-context:task:spawn', look)

    runInScope(() => {
      user.set('ada')
      seen.push(String(spawn(() => {}, { policy: 'share' }).context))
    })
    unsubscribe('logical-context:task:spawn', look)

    expect(seen).toEqual(['LogicalContext()', 'LogicalContext(user)'])
  })
})

describe('the failure of a task', () => {
  beforeEach(() => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
  })
  afterEach(() => {
    vi.restoreAllMocks()
  })

  it.each<[name: string, fn: () => unknown]>([
    [
      'thrown at once',
      () => {
        user.set('task’s')
        throw new Error('failed')
      },
    ],
    [
      'thrown after an await',
      async () => {
        user.set('task’s')
        await setImmediate()
        throw new Error('failed')
      },
    ],
    [
      'rejected by a foreign thenable',
      () => {
        user.set('task’s')
        return { then: (_: unknown, reject: (error: Error) => void) => reject(new Error('failed')) }
      },
    ],
    [
      'thrown by a then() of its result',
      () => {
        user.set('task’s')
        return {
          then() {
            throw new Error('failed')
          },
        }
      },
    ],
    [
      'thrown by the access to then',
      () => {
        user.set('task’s')
        return {
          get then() {
            throw new Error('failed')
          },
        }
      },
    ],
  ])('goes to onError in the task’s own context: %s', async (_, fn) => {
    const seen: unknown[] = []
    const group = new TaskGroup()

    const spawnersValue = runInScope(() => {
      user.set('spawner’s')
      group.spawn(fn, {
        name: 'sendReceipt',
        onError: (error, task) => seen.push([error, task.name, user.get(), String(current())]),
      })
      return user.get()
    })
    await group.drain()

    expect(spawnersValue).toBe('spawner’s')
    expect(seen).toEqual([[new Error('failed'), 'sendReceipt', 'task’s', 'LogicalContext(user)']])
  })

  it.each<[name: string, reason: unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['a text', 'failed'],
    ['a thenable', { then() {} }],
  ])('may be anything: %s', async (_, reason) => {
    const onError = vi.fn()
    const task = runInScope(() => spawn(() => Promise.reject(reason), { onError }))

    await expect(task.result()).rejects.toBe(reason)
    expect(onError).toHaveBeenCalledExactlyOnceWith(reason, task)
  })

  it('goes to the group’s onError where the spawn names none', () => {
    const told: unknown[] = []
    const group = new TaskGroup({ onError: (error) => told.push(['group', error]) })

    group.spawn(() => Promise.reject(new Error('not for the group')), { onError: () => {} })
    group.spawn(() => {
      throw new Error('failed')
    })

    expect(told).toEqual([['group', new Error('failed')]])
  })

  it('is printed without an option for it', () => {
    new TaskGroup().spawn(
      () => {
        throw new Error('failed')
      },
      { name: 'sendReceipt' },
    )

    expect(console.error).toHaveBeenCalledExactlyOnceWith(
      expect.stringMatching(/^logical-context: the task 'sendReceipt' \(id \d+\) failed: Error: failed\n +at /),
    )
  })

  it('holds the task in its group until an async onError has ended', async () => {
    const logged = Promise.withResolvers<void>()
    const group = new TaskGroup({ onError: () => logged.promise })
    const task = group.spawn(() => Promise.reject(new Error('failed')))
    await setImmediate()

    const during = group.tasks.includes(task)
    logged.resolve()
    await group.drain()

    expect([during, group.tasks.includes(task)]).toEqual([true, false])
  })

  it.each<[name: string, onError: () => unknown]>([
    [
      'that throws',
      () => {
        throw new Error('onError failed')
      },
    ],
    ['that rejects', () => Promise.reject(new Error('onError failed'))],
    [
      'whose result cannot be looked at',
      () => ({
        get then() {
          throw new Error('onError failed')
        },
      }),
    ],
  ])('is contained with an onError %s: both failures are printed, and the task ends', async (_, onError) => {
    const group = new TaskGroup({ onError })

    const tasks = [
      group.spawn(() => Promise.reject(new Error('async'))),
      group.spawn(() => {
        throw new Error('sync')
      }),
      group.spawn(async () => 'fine'),
    ]
    const results = await Promise.allSettled(tasks.map((task) => task.result()))

    expect(results).toEqual([
      { status: 'rejected', reason: new Error('async') },
      { status: 'rejected', reason: new Error('sync') },
      { status: 'fulfilled', value: 'fine' },
    ])
    expect(vi.mocked(console.error).mock.calls.map(([line]) => line)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/onError failed: Error: onError failed[^]*, called for the task 'task' with Error: sync/),
        expect.stringMatching(
          /onError failed: Error: onError failed[^]*, called for the task 'task' with Error: async/,
        ),
      ]),
    )
    expect(group.tasks.length).toBe(0)
  })

  it('ends the task even when it cannot be printed', async () => {
    const unprintable = {
      [inspect.custom]() {
        throw new Error('no')
      },
    }
    const group = new TaskGroup()

    group.spawn(() => Promise.reject(unprintable))
    group.spawn(() => {
      throw unprintable
    })
    const { unfinished } = await group.drain()

    expect(unfinished).toEqual([])
    expect(console.error).toHaveBeenCalledTimes(2)
  })

  it('leaves its siblings and its spawner alone', async () => {
    const failures: string[] = []
    const group = new TaskGroup({ onError: (_, task) => failures.push(task.name) })

    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        runInScope(
          async () => {
            user.set(`user ${index}`)
            for (let i = 0; i < 50; i++) {
              spawn(
                async () => {
                  if (i % 2 === 0) await setImmediate()
                  throw new Error('failed')
                },
                { name: user.get() ?? '', onError: (_, task) => failures.push(`${task.name} as ${user.get()}`) },
              )
            }
            await setImmediate()
            return user.get()
          },
          { group },
        ),
      ),
    )
    await group.drain()

    expect(answers).toEqual(Array.from({ length: 20 }, (_, index) => `user ${index}`))
    expect(failures).toHaveLength(1000)
    expect(new Set(failures)).toEqual(new Set(answers.map((name) => `${name} as ${name}`)))
  })
})

describe('a task under share', () => {
  it('runs in the spawner’s own unit, and ends without ending that', async () => {
    const seen = await runInScope(async () => {
      const task = spawn(() => user.set('task’s'), { policy: 'share' })
      await task.result()
      return [user.get(), task.context.get(user)]
    })

    expect(seen).toEqual(['task’s', 'task’s'])
  })

  it('is late, like a promise that no code awaits, if the unit ends before it', async () => {
    const gate = Promise.withResolvers<void>()
    const task = runInScope(
      () => {
        user.set('ada')
        return spawn(
          async () => {
            await gate.promise
            return user.get()
          },
          { policy: 'share' },
        )
      },
      { onLateUse: () => {} },
    )

    gate.resolve()

    expect(await task.result()).toBe(undefined)
  })

  it('gets a unit of its own where there is none to share', async () => {
    const group = new TaskGroup()

    const task: Task = group.spawn(
      async () => {
        user.set('ada')
        return [user.get(), await spawn(() => user.get()).result()]
      },
      { policy: 'share' },
    )

    expect(await task.result()).toEqual(['ada', 'ada'])
    expect(user.get()).toBe(undefined)
  })
})

class Foreign<T> extends Promise<T> {}
