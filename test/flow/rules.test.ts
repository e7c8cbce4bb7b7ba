import { EventEmitter } from 'node:events'
import {
  bind,
  ContextVar,
  current,
  isolateGenerator,
  LogicalContext,
  run,
  runInScope,
  spawn,
  TaskGroup,
} from 'logical-context'
import { describe, expect, it, vi } from 'vitest'

// The rules of docs/architecture.md, each under its number. What they cost, hold and survive is tested in the files
// beside this one.

const user = new ContextVar<string, string>('user', { default: 'nobody' })
const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
const transaction = new ContextVar<string>('transaction', { onSpawn: 'drop' })

describe('rule 1, awaits', () => {
  it('lets the caller see what an awaited function has set, before and after its first await', async () => {
    const seen = await runInScope(async () => {
      const callee = async () => {
        user.set('before the first await')
        await Promise.resolve()
        transaction.set('after it')
      }
      await callee()
      return [user.get(), transaction.get()]
    })

    expect(seen).toEqual(['before the first await', 'after it'])
  })

  it('shares the cell with timers, listeners and promises that nobody has spawned', async () => {
    const seen = await runInScope(async () => {
      const done = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const emitter = new EventEmitter()
      emitter.on('event', () => user.set(`${user.get()} listener`))
      setTimeout(() => {
        user.set('timer')
        done[0]?.resolve()
      }, 0)
      await done[0]?.promise
      emitter.emit('event')
      void Promise.resolve().then(() => {
        user.set(`${user.get()} promise`)
        done[1]?.resolve()
      })
      await done[1]?.promise
      return user.get()
    })

    expect(seen).toBe('timer listener promise')
  })

  it('is not changed by wrappers: a span, a retry, a timeout made of a race', async () => {
    const span = <R>(fn: () => Promise<R>) => fn().finally(() => {})
    const retry = async <R>(fn: () => Promise<R>) => fn().catch(fn)
    const timeout = <R>(fn: () => Promise<R>) => {
      const timer = Promise.withResolvers<never>()
      const handle = setTimeout(() => timer.reject(new Error('too slow')), 60_000)
      return Promise.race([fn(), timer.promise]).finally(() => clearTimeout(handle))
    }

    const seen = await runInScope(async () => {
      let failures = 1
      await timeout(() =>
        retry(() =>
          span(async () => {
            await Promise.resolve()
            user.set(`${user.get()}, set once more`)
            if (failures-- > 0) throw new Error('first try')
          }),
        ),
      )
      return user.get()
    })

    expect(seen).toBe('nobody, set once more, set once more')
  })
})

describe('rule 2, tasks', () => {
  it('gives a task the values of the spawn, and keeps later writes of both from the other', async () => {
    const written = Promise.withResolvers<void>()

    const seen = await runInScope(async () => {
      user.set('at the spawn')
      const task = spawn(async () => {
        const atOnce = user.get()
        await written.promise
        const later = user.get()
        user.set('task’s')
        return [atOnce, later, user.get()]
      })
      user.set('spawner’s')
      written.resolve()
      return [await task.result(), user.get()]
    })

    expect(seen).toEqual([['at the spawn', 'at the spawn', 'task’s'], 'spawner’s'])
  })

  it('copies nothing at a spawn', async () => {
    const seen = runInScope(() => {
      user.set('ada')
      const before = current().toValues()
      return [spawn(() => current().toValues() === before), spawn(() => current().toValues() === before)]
    })

    expect(await Promise.all(seen.map((task) => task.result()))).toEqual([true, true])
  })
})

describe('rule 3, threads', () => {
  it('lets a task under isolate start with nothing but what is declared to survive', async () => {
    const task = runInScope(() => {
      for (const variable of [user, tenant, transaction]) variable.set(variable.name)
      return spawn(() => [user.get(), tenant.get(), transaction.get(), String(current())], { policy: 'isolate' })
    })

    expect(await task.result()).toEqual(['nobody', 'tenant', undefined, 'LogicalContext(tenant)'])
  })
})

describe('rule 4, share', () => {
  it('runs the task in the spawner’s own cell, but owned and drained', async () => {
    const group = new TaskGroup()
    const gate = Promise.withResolvers<void>()

    const seen = await runInScope(
      async () => {
        spawn(
          async () => {
            await gate.promise
            user.set(`${user.get()}, and back`)
          },
          { policy: 'share' },
        )
        user.set('to the task')
        const owned = group.tasks.length
        gate.resolve()
        const { finished } = await group.drain()
        return [owned, finished, user.get()]
      },
      { group },
    )

    expect(seen).toEqual([1, 1, 'to the task, and back'])
  })
})

describe('rule 5, only', () => {
  it('lets just these variables through', async () => {
    const other = new ContextVar<string>('other')

    const task = runInScope(() => {
      user.set('ada')
      other.set('other')
      return spawn(() => [user.get(), other.get()], { policy: { only: [user] } })
    })

    expect(await task.result()).toEqual(['ada', undefined])
  })
})

describe('rule 6, blocks', () => {
  it('lets no write out of a block, of a variable or of a context', async () => {
    const seen = await runInScope(async () => {
      user.set('ada')
      const snapshot = current()
      const inside = [
        user.run('block’s', () => [user.get(), user.set('written'), user.get()]),
        await run(snapshot, async () => {
          await Promise.resolve()
          user.set('written')
          return user.get()
        }),
      ]
      return [inside, user.get()]
    })

    expect(seen).toEqual([[['block’s', undefined, 'written'], 'written'], 'ada'])
  })

  it('gives two runs of one context the same start', () => {
    const context = LogicalContext.empty.with(user, 'ada')
    const write = () => [user.get(), user.set('written')][0]

    expect([run(context, write), run(context, write), run(context, write)]).toEqual(['ada', 'ada', 'ada'])
  })
})

describe('rule 7, generators', () => {
  it('gives a wrapped generator a layer: its writes stay in, its driver’s values are seen', () => {
    const generator = isolateGenerator(function* () {
      for (let step = 1; ; step++) {
        yield [user.get(), tenant.get()]
        user.set(`step ${step}`)
      }
    })

    const seen = runInScope(() => {
      user.set('ada')
      const steps = generator()
      const values = [steps.next().value]
      user.set('grace')
      tenant.set('acme')
      values.push(steps.next().value)
      return [values, user.get()]
    })

    expect(seen).toEqual([
      [
        ['ada', undefined],
        ['step 1', 'acme'],
      ],
      'grace',
    ])
  })
})

describe('rule 8, owners', () => {
  it('gives every task an owner whatever its policy: it may spawn, is drained, and is aborted at the limit', async () => {
    const group = new TaskGroup()
    const aborted: string[] = []
    const stuck = (name: string) =>
      spawn(
        ({ signal }) =>
          new Promise<void>((resolve) => {
            signal.addEventListener('abort', () => {
              aborted.push(name)
              resolve()
            })
          }),
      )

    runInScope(
      () => {
        for (const policy of ['inherit', 'isolate', 'share', { only: [] }] as const) {
          spawn(() => stuck(typeof policy === 'string' ? policy : 'only'), { policy })
        }
      },
      { group },
    )
    const { unfinished } = await group.drain({ timeoutMs: 1 })

    expect(aborted).toEqual(['inherit', 'isolate', 'share', 'only'])
    expect(unfinished.map(({ ended }) => ended)).toEqual([true, true, true, true])
  })

  it('lets a task outlive the unit that has spawned it', async () => {
    const gate = Promise.withResolvers<void>()
    const task = runInScope((scope) => {
      user.set('ada')
      return spawn(async () => {
        await gate.promise
        return [scope.sealed, user.get()]
      })
    })

    gate.resolve()

    expect(await task.result()).toEqual([true, 'ada'])
  })
})

describe('rule 9, the end', () => {
  it('drops all values but the survivors when the unit has ended, and refuses writes', () => {
    const late = runInScope(
      () => {
        for (const variable of [user, tenant, transaction]) variable.set(variable.name)
        return bind(() => [user.get(), tenant.get(), transaction.get(), tryToSet()])
      },
      { onLateUse: () => {} },
    )

    expect(late()).toEqual(['nobody', 'tenant', undefined, 'LCTX_LATE_WRITE'])
  })

  it('leaves spawned tasks alone: they have cells of their own', async () => {
    const gate = Promise.withResolvers<void>()
    const tasks = runInScope(() => {
      user.set('ada')
      const policies = ['inherit', { only: [user] }] as const
      return policies.map((policy) => spawn(() => gate.promise.then(() => [user.get(), tryToSet()]), { policy }))
    })

    gate.resolve()

    expect(await Promise.all(tasks.map((task) => task.result()))).toEqual([
      ['ada', 'set'],
      ['ada', 'set'],
    ])
  })
})

describe('rule 10, outside any unit', () => {
  it('reads the default, and throws what is to be done for the rest', () => {
    expect([user.get(), tryToSet()]).toEqual(['nobody', 'LCTX_OUTSIDE_UNIT'])
    expect(() => spawn(() => {})).toThrow(/outside any unit of work.*runInScope/)
  })

  it('opens a unit in one call', () => {
    expect(runInScope(() => [tryToSet(), user.get()])).toEqual(['set', 'written'])
  })

  it('starts a unit inside a unit fresh', () => {
    const seen = runInScope(() => {
      user.set('ada')
      tenant.set('acme')
      return [runInScope(() => [user.get(), tenant.get(), tryToSet()]), user.get()]
    })

    expect(seen).toEqual([['nobody', undefined, 'set'], 'ada'])
  })
})

describe('rule 11, bind', () => {
  it('makes a callback part of the unit that has bound it, whoever calls it', () => {
    const seen = runInScope(() => {
      const bound = bind(() => {
        user.set(`${user.get()}, bound`)
      })
      user.set('ada')
      runInScope(() => {
        user.set('grace')
        bound()
      })
      return user.get()
    })

    expect(seen).toBe('ada, bound')
  })
})

describe('rule 12, two copies', () => {
  it('share one storage', async () => {
    vi.resetModules()
    const second = await import('logical-context')

    const seen = runInScope(() => {
      user.set('ada')
      return [second.runInScope === runInScope, second.current().get(user)]
    })

    expect(seen).toEqual([false, 'ada'])
  })
})

/** What comes of setting a variable: 'set', or the code of the error. */
function tryToSet(): string {
  try {
    user.set('written')
    return 'set'
  } catch (error) {
    return (error as { code: string }).code
  }
}
