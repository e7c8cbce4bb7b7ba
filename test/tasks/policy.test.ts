import { AsyncLocalStorage } from 'node:async_hooks'
import { ContextVar, type Policy, runInScope, spawn, TaskGroup } from 'logical-context'
import { deadline, TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { policyName } from '../../src/tasks/policy.ts'

const user = new ContextVar<string>('user')
const tenant = new ContextVar<string>('tenant')
const kept = new ContextVar<string>('kept', { onSpawn: 'keep' })
const dropped = new ContextVar<string>('dropped', { onSpawn: 'drop' })
const derived = new ContextVar<string>('derived', { onSpawn: (value, crossing) => `${value} by ${crossing}` })

const readAll = () => ({
  user: user.get(),
  tenant: tenant.get(),
  kept: kept.get(),
  dropped: dropped.get(),
  derived: derived.get(),
})

function setAll(): void {
  for (const variable of [user, tenant, kept, dropped, derived]) variable.set(variable.name)
}

describe('a policy', () => {
  it.each<[name: string, policy: Policy, seen: Partial<ReturnType<typeof readAll>>]>([
    ['inherit', 'inherit', { user: 'user', tenant: 'tenant', kept: 'kept', derived: 'derived by inherit' }],
    ['isolate', 'isolate', { kept: 'kept', derived: 'derived by isolate' }],
    ['share', 'share', { user: 'user', tenant: 'tenant', kept: 'kept', dropped: 'dropped', derived: 'derived' }],
    ['only one', { only: [tenant] }, { tenant: 'tenant', kept: 'kept', derived: 'derived by only' }],
    ['only a dropped one', { only: [dropped] }, { kept: 'kept', derived: 'derived by only' }],
    ['only a kept one', { only: [kept] }, { kept: 'kept', derived: 'derived by only' }],
    ['only a derived one', { only: [derived, derived] }, { kept: 'kept', derived: 'derived by only' }],
    ['except one', { except: [user] }, { tenant: 'tenant', kept: 'kept', derived: 'derived by except' }],
    [
      'except a kept one',
      { except: [kept] },
      { user: 'user', tenant: 'tenant', kept: 'kept', derived: 'derived by except' },
    ],
    [
      'except a derived one',
      { except: [derived] },
      { user: 'user', tenant: 'tenant', kept: 'kept', derived: 'derived by except' },
    ],
    ['except none', { except: [] }, { user: 'user', tenant: 'tenant', kept: 'kept', derived: 'derived by except' }],
    ['only none', { only: [] }, { kept: 'kept', derived: 'derived by only' }],
  ])('decides what the task sees: %s', async (_, policy, seen) => {
    const task = runInScope(() => {
      setAll()
      return spawn(readAll, { policy })
    })

    expect(await task.result()).toEqual({
      user: undefined,
      tenant: undefined,
      kept: undefined,
      dropped: undefined,
      derived: undefined,
      ...seen,
    })
  })

  it.each<[name: string, policy: Policy, seenBySpawner: string]>([
    ['inherit', 'inherit', 'spawner’s'],
    ['isolate', 'isolate', 'spawner’s'],
    ['only', { only: [user] }, 'spawner’s'],
    ['share', 'share', 'task’s'],
  ])('decides who sees what the task writes: %s', async (_, policy, seenBySpawner) => {
    const seen = await runInScope(async () => {
      user.set('spawner’s')
      const task = spawn(
        async () => {
          user.set('task’s')
          await Promise.resolve()
          return user.get()
        },
        { policy },
      )
      return [await task.result(), user.get()]
    })

    expect(seen).toEqual(['task’s', seenBySpawner])
  })

  it.each<[name: string, policy: Policy, seen: unknown[]]>([
    ['inherit', 'inherit', ['snapshot', undefined]],
    ['isolate', 'isolate', [undefined, undefined]],
    ['only', { only: [user, tenant] }, ['snapshot', undefined]],
    ['share', 'share', ['later', 'later']],
  ])('decides whether the task sees what its spawner writes later: %s', async (_, policy, seen) => {
    const written = Promise.withResolvers<void>()

    const result = await runInScope(async () => {
      user.set('snapshot')
      const task = spawn(
        async () => {
          await written.promise
          return [user.get(), tenant.get()]
        },
        { policy },
      )
      user.set('later')
      tenant.set('later')
      written.resolve()
      return task.result()
    })

    expect(result).toEqual(seen)
  })

  it('hides what was deleted before the spawn', async () => {
    const task = runInScope(() => {
      setAll()
      user.delete()
      kept.delete()
      derived.delete()
      return spawn(readAll, { policy: { only: [user, tenant] } })
    })

    expect(await task.result()).toEqual({
      user: undefined,
      tenant: 'tenant',
      kept: undefined,
      dropped: undefined,
      derived: undefined,
    })
  })

  it('applies its rules again at the next spawn of a chain', async () => {
    const seen: unknown[] = []
    const descend = async (depth: number): Promise<void> => {
      seen.push([user.get(), kept.get(), dropped.get(), derived.get()])
      if (depth > 0) await spawn(() => descend(depth - 1)).result()
    }

    await runInScope(() => {
      setAll()
      return descend(2)
    })

    expect(seen).toEqual([
      ['user', 'kept', 'dropped', 'derived'],
      ['user', 'kept', undefined, 'derived by inherit'],
      ['user', 'kept', undefined, 'derived by inherit by inherit'],
    ])
  })

  it('allows a task to set a dropped variable again, and to isolate a kept one', async () => {
    const seen = await runInScope(async () => {
      setAll()
      const task = spawn(async () => {
        dropped.set('again')
        kept.set('again')
        return [dropped.get(), await spawn(readAll, { policy: 'isolate' }).result()]
      })
      return [await task.result(), dropped.get(), kept.get()]
    })

    expect(seen).toEqual([
      ['again', { user: undefined, tenant: undefined, kept: 'again', dropped: undefined, derived: expect.anything() }],
      'dropped',
      'kept',
    ])
  })

  it('derives from undefined where that was set, and not where nothing was', async () => {
    const calls: unknown[] = []
    const variable = new ContextVar<string | undefined>('variable', {
      onSpawn: (value) => {
        calls.push(value)
        return 'derived'
      },
    })

    const seen = await runInScope(async () => {
      const unset = await spawn(() => variable.get()).result()
      variable.set(undefined)
      return [unset, await spawn(() => variable.get()).result()]
    })

    expect(seen).toEqual([undefined, 'derived'])
    expect(calls).toEqual([undefined])
  })

  it('fails the task, not the spawner, where a derive function throws', async () => {
    const error = new Error('cannot be derived')
    const broken = new ContextVar<string>('broken', {
      onSpawn: () => {
        throw error
      },
    })
    const failures: unknown[] = []
    const group = new TaskGroup({ onError: (failure, task) => failures.push([failure, task.name]) })
    let started = false

    const seen = runInScope(
      () => {
        broken.set('value')
        for (const policy of ['inherit', 'isolate', { only: [] }] as const) {
          spawn(() => (started = true), { name: 'sendReceipt', policy })
        }
        return broken.get()
      },
      { group },
    )

    expect(seen).toBe('value')
    expect(failures).toEqual([
      [error, 'sendReceipt'],
      [error, 'sendReceipt'],
      [error, 'sendReceipt'],
    ])
    expect({ started, left: group.tasks.length }).toEqual({ started: false, left: 0 })
  })

  it('calls no derive function under share', () => {
    const broken = new ContextVar<string>('broken', {
      onSpawn: () => {
        throw new Error('cannot be derived')
      },
    })

    const task = runInScope(() => {
      broken.set('value')
      return spawn(() => broken.get(), { policy: 'share' })
    })

    return expect(task.result()).resolves.toBe('value')
  })
})

describe('the trace and the deadline', () => {
  const trace = new TraceContext({ flags: 1 })

  it.each<[name: string, policy: Policy]>([
    ['inherit', 'inherit'],
    ['only', { only: [] }],
  ])('are a child span and none under %s', async (_, policy) => {
    const seen = await spawnInTrace(policy)

    expect(seen.deadline).toBe(undefined)
    expect(seen.trace).toMatchObject({ traceId: trace.traceId, parentSpanId: trace.spanId, flags: 1 })
    expect(seen.trace?.spanId).not.toBe(trace.spanId)
  })

  it('are a new root with a link and none under isolate', async () => {
    const seen = await spawnInTrace('isolate')

    expect(seen.deadline).toBe(undefined)
    expect(seen.trace).toMatchObject({
      parentSpanId: undefined,
      link: { traceId: trace.traceId, spanId: trace.spanId },
      sampled: false,
    })
    expect(seen.trace?.traceId).not.toBe(trace.traceId)
  })

  it('are the spawner’s under share', async () => {
    const seen = await spawnInTrace('share')

    expect(seen).toEqual({ trace, deadline: 1000 })
    expect(seen.trace).toBe(trace)
  })

  function spawnInTrace(policy: Policy) {
    const task = runInScope(() => {
      traceContext.set(trace)
      deadline.set(1000)
      return spawn(() => ({ trace: traceContext.get(), deadline: deadline.get() }), { policy })
    })
    return task.result()
  }
})

describe('the order of policies', () => {
  it.each<
    [name: string, spawns: Policy | undefined, groups: Policy | undefined, units: Policy | undefined, wins: string]
  >([
    ['the spawn’s own before all others', 'share', 'isolate', { only: [] }, 'share'],
    ['the group’s before the unit’s', undefined, 'isolate', 'share', 'isolate'],
    ['the unit’s before the default', undefined, undefined, 'isolate', 'isolate'],
    ['inherit if no policy is set', undefined, undefined, undefined, 'inherit'],
    ['the spawn’s own before the group’s', { only: [user] }, 'isolate', undefined, 'only'],
  ])('is %s', (_, spawns, groups, units, wins) => {
    const group = new TaskGroup({ policy: groups })

    const [own, backgrounds] = runInScope(
      () => [group.spawn(() => {}, { policy: spawns }), spawn(() => {}, { policy: spawns })],
      { policy: units, group },
    )

    expect(nameOf(own?.policy)).toBe(wins)
    expect(nameOf(backgrounds?.policy)).toBe(wins)
  })

  it('hands the unit’s on to the tasks of its tasks, whatever theirs was', async () => {
    const policies = await runInScope(
      async () => {
        const task = spawn(() => spawn(() => {}), { policy: 'share' })
        const isolated = spawn(() => spawn(() => {}), { policy: 'isolate' })
        return [(await task.result()).policy, (await isolated.result()).policy]
      },
      { policy: { only: [user] } },
    )

    expect(policies.map(nameOf)).toEqual(['only', 'only'])
  })

  it('puts a variable’s rule above all of them', async () => {
    const group = new TaskGroup({ policy: { only: [dropped] } })

    const task = runInScope(
      () => {
        setAll()
        return group.spawn(readAll)
      },
      { policy: 'inherit' },
    )

    expect(await task.result()).toMatchObject({ kept: 'kept', dropped: undefined })
  })

  function nameOf(policy: Policy | undefined): string | undefined {
    return typeof policy === 'object' ? 'only' : policy
  }
})

describe('other libraries’ contexts', () => {
  const other = new AsyncLocalStorage<string>()

  it.each<[name: string, policy: Policy, seen: string | undefined]>([
    ['inherit', 'inherit', 'theirs'],
    ['only', { only: [] }, 'theirs'],
    ['share', 'share', 'theirs'],
    ['isolate, which leaves them', 'isolate', undefined],
  ])('are what the task finds, before and after an await: %s', async (_, policy, seen) => {
    const task = other.run('theirs', () =>
      runInScope(() =>
        spawn(
          async () => {
            const atOnce = other.getStore()
            await Promise.resolve()
            return [atOnce, other.getStore()]
          },
          { policy },
        ),
      ),
    )

    expect(await task.result()).toEqual([seen, seen])
  })
})

describe('policyName', () => {
  it.each<[policy: Policy, name: string]>([
    ['inherit', 'inherit'],
    ['isolate', 'isolate'],
    ['share', 'share'],
    [{ only: [user] }, 'only'],
    [{ except: [user] }, 'except'],
  ])('is one word for %o', (policy, name) => {
    expect(policyName(policy)).toBe(name)
  })
})

describe('an ill-formed policy', () => {
  it.each<[name: string, policy: unknown]>([
    ['an unknown word', 'inherits'],
    ['null', null],
    ['a variable', user],
    ['an empty object', {}],
    ['a variable that is not a list', { only: user }],
    ['a list of names', { only: ['user'] }],
    ['a list with a hole', { only: [user, undefined] }],
    ['another key next to it', { only: [user], except: [tenant] }],
  ])('is refused: %s', (_, policy) => {
    const message =
      "option 'policy' expected 'inherit', 'isolate', 'share', { only: [variables] } or { except: [variables] }, got "

    expect(() => runInScope(() => spawn(() => {}, { policy: policy as Policy }))).toThrow(`spawn: ${message}`)
    expect(() => new TaskGroup({ policy: policy as Policy })).toThrow(`TaskGroup: ${message}`)
    expect(() => runInScope(() => {}, { policy: policy as Policy })).toThrow(`runInScope: ${message}`)
  })
})
