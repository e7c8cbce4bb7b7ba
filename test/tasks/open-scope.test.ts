import { getEventListeners } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { ContextVar, currentSignal, LogicalContext, openScope, runInScope, spawn, TaskGroup } from 'logical-context'
import { describe, expect, it } from 'vitest'

const user = new ContextVar<string>('user')
const requestName = new ContextVar<string>('requestName', { onSpawn: 'keep' })
const late = { lateWrites: 'report', onLateUse: () => {} } as const

/** The code of the error that a call throws. */
function codeOf(call: () => unknown): unknown {
  try {
    return call()
  } catch (error) {
    return (error as { code?: string }).code
  }
}

describe('openScope', () => {
  it('opens a unit that is entered many times: each run sees what earlier runs set', async () => {
    const scope = openScope('connection')

    scope.run(() => user.set('ada'))
    const seen = [
      scope.run(() => user.get()),
      await scope.run(async () => {
        await turn()
        user.set('grace')
        return user.get()
      }),
      scope.run((suffix: string) => `${user.get()} ${suffix}`, 'again'),
    ]
    scope.close()

    expect(seen).toEqual(['ada', 'grace', 'grace again'])
    expect(scope.name).toBe('connection')
  })

  it('runs two overlapping runs in one unit', async () => {
    const scope = openScope('saga')
    const gate = Promise.withResolvers<void>()

    const first = scope.run(async () => {
      await gate.promise
      return user.get()
    })
    scope.run(() => user.set('set by the second run'))
    gate.resolve()

    expect(await first).toBe('set by the second run')
  })

  it('leaves the caller in its own unit', () => {
    const seen = runInScope(() => {
      user.set('ada')
      using scope = openScope('job')
      return [user.get(), scope.run(() => user.get()), user.get()]
    })

    expect(seen).toEqual(['ada', undefined, 'ada'])
  })

  it('starts with the values of its options only, also inside another unit', () => {
    const context = LogicalContext.empty.with(user, 'grace')

    const seen = runInScope(() => {
      requestName.set('POST /orders')
      return openScope('job', { context }).run(() => [user.get(), requestName.get()])
    })

    expect(seen).toEqual(['grace', undefined])
  })

  it('nests: the inner unit closes first, and each has its own values', () => {
    const ends: string[] = []
    const outer = openScope('outer')
    const seen = outer.run(() => {
      user.set('outer')
      using inner = openScope('inner')
      inner.run(() => user.set('inner'))
      ends.push(String(inner.sealed))
      return [inner.run(() => user.get()), user.get(), inner]
    })
    outer.close()

    expect(seen.slice(0, 2)).toEqual(['inner', 'outer'])
    expect([ends, (seen[2] as typeof outer).sealed, outer.sealed]).toEqual([['false'], true, true])
  })

  it('drops the values at the close, all but the survivors', () => {
    const scope = openScope('job', late)
    scope.run(() => {
      user.set('ada')
      requestName.set('import')
    })

    scope.close()

    expect([scope.sealed, scope.context.get(user), scope.context.get(requestName)]).toEqual([true, undefined, 'import'])
  })

  it('closes at the end of a using block, also after an error', () => {
    let known: { readonly sealed: boolean } | undefined

    expect(() => {
      using scope = openScope('job')
      known = scope
      throw new Error('broken')
    }).toThrow('broken')
    expect(known?.sealed).toBe(true)
  })

  it('closes once, and a second close does nothing', () => {
    const scope = openScope('job')

    scope.close()
    scope.close()
    scope[Symbol.dispose]()

    expect(scope.sealed).toBe(true)
  })

  it('seals when the last promise of its runs has settled, fulfilled or rejected', async () => {
    const scope = openScope('job')
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const runs = [scope.run(() => first.promise), scope.run(() => second.promise)]
    const sealed: boolean[] = []

    scope.close()
    sealed.push(scope.sealed)
    first.resolve()
    await runs[0]
    sealed.push(scope.sealed)
    second.reject(new Error('broken'))
    await runs[1]?.catch(() => {})
    sealed.push(scope.sealed)

    expect(sealed).toEqual([false, false, true])
  })

  it('can be entered after the close, while a promise postpones the seal', async () => {
    const scope = openScope('job')
    const gate = Promise.withResolvers<void>()
    const run = scope.run(async () => {
      user.set('ada')
      await gate.promise
    })

    scope.close()
    const seen = scope.run(() => user.get())
    gate.resolve()
    await run

    expect([seen, scope.sealed]).toEqual(['ada', true])
  })

  it('throws for a run after the seal', () => {
    const scope = openScope('job')
    scope.close()

    expect(codeOf(() => scope.run(() => 'ran'))).toBe('LCTX_SCOPE_CLOSED')
  })

  it('does nothing for a deadline or an abort after the seal', async () => {
    const scope = openScope('job')
    const signal = scope.run(() => currentSignal())
    scope.close()

    scope.expireAt(Date.now() - 1)
    await turn()

    expect(signal?.aborted).toBe(false)
  })

  it('sets the deadline of its options, and keeps the earlier one of two', () => {
    const now = Date.now()
    const scope = openScope('job', { deadline: now + 60_000 })

    scope.expireAt(now + 90_000)

    expect(scope.deadline).toBe(now + 60_000)
  })

  it('spawns in the group of its options; the tasks outlive it', async () => {
    const group = new TaskGroup()
    const gate = Promise.withResolvers<void>()
    const scope = openScope('job', { group, policy: 'isolate' })

    const task = scope.run(() => {
      user.set('ada')
      return spawn(async () => {
        await gate.promise
        return user.get()
      })
    })
    scope.close()
    gate.resolve()

    expect([task.group, await task.result(), scope.sealed]).toEqual([group, undefined, true])
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY, -1, '5', null, undefined])('refuses the deadline %s', (deadline) => {
    const scope = openScope('job')

    expect(() => scope.expireAt(deadline as number)).toThrow(
      /^RequestScope\.expireAt: expected a number of at least 0, got /,
    )
    expect(() => scope.expireAt(deadline as number)).toThrow(TypeError)
    expect(scope.deadline).toBe(undefined)
  })
})

describe('the listener on a signal that tasks are cancelled with', () => {
  it('is one for all of them, and is removed with the last', async () => {
    const { signal } = new AbortController()
    const gates = Array.from({ length: 3 }, () => Promise.withResolvers<void>())
    const listeners = () => getEventListeners(signal, 'abort').length

    const counts = await runInScope(async () => {
      const tasks = gates.map(({ promise }) => spawn(() => promise, { cancelWith: signal }))
      const seen = [listeners()]
      for (const [index, task] of tasks.entries()) {
        gates[index]?.resolve()
        await task.result()
        seen.push(listeners())
      }
      return seen
    })

    expect(counts).toEqual([1, 1, 1, 0])
  })

  it('is added again for a later task', async () => {
    const { signal } = new AbortController()
    const run = () => runInScope(() => spawn(() => getEventListeners(signal, 'abort').length, { cancelWith: signal }))

    const counts = [await run().result(), await run().result()]

    expect([counts, getEventListeners(signal, 'abort').length]).toEqual([[1, 1], 0])
  })
})
