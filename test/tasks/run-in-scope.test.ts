import { bind, ContextVar, current, LogicalContext, runInScope, spawn, TaskGroup } from 'logical-context'
import { describe, expect, it } from 'vitest'
import { runScript } from '../flow/run-script.ts'

const user = new ContextVar<string>('user')
const kept = new ContextVar<string>('kept', { onSpawn: 'keep' })
const quiet = { onLateUse: () => {} }

describe('runInScope', () => {
  it('opens a unit in one call, and hands its scope in', () => {
    const seen = runInScope(function nightlyImport(scope) {
      user.set('ada')
      return [scope.name, scope.context.get(user), user.get()]
    })

    expect(seen).toEqual(['nightlyImport', 'ada', 'ada'])
    expect(user.get()).toBe(undefined)
  })

  it('is named by its option, its function, or not at all', () => {
    const names = [
      runInScope((scope) => scope.name, { name: 'import' }),
      runInScope(function nightly(scope) {
        return scope.name
      }),
      runInScope((scope) => scope.name),
    ]

    expect(names).toEqual(['import', 'nightly', 'scope'])
  })

  it('starts fresh inside another unit, survivors included, and leaves that as it was', async () => {
    const seen = await runInScope(async () => {
      user.set('ada')
      kept.set('kept')
      const inner = await runInScope(async () => {
        const before = [user.get(), kept.get(), current() === LogicalContext.empty, String(current())]
        user.set('grace')
        await Promise.resolve()
        return [...before, user.get()]
      })
      return [inner, user.get(), kept.get()]
    })

    expect(seen).toEqual([[undefined, undefined, false, 'LogicalContext()', 'grace'], 'ada', 'kept'])
  })

  it('starts with the context it is given', () => {
    const context = LogicalContext.empty.with(user, 'ada')

    expect(runInScope(() => user.get(), { context })).toBe('ada')
  })

  it('ends when a sync function returned: later code of it is late', () => {
    const lateRead = runInScope(() => {
      user.set('ada')
      return bind(() => user.get())
    }, quiet)

    expect(lateRead()).toBe(undefined)
  })

  it('ends when a promise has settled, not before', async () => {
    const lateReads: (() => unknown)[] = []
    const duringAwait = await runInScope(async () => {
      user.set('ada')
      lateReads.push(bind(() => user.get()))
      await Promise.resolve()
      return lateReads[0]?.()
    }, quiet)

    expect([duringAwait, lateReads[0]?.()]).toEqual(['ada', undefined])
  })

  it('throws errors unchanged, and ends', async () => {
    const error = new Error('failed')
    const lateReads: (() => unknown)[] = []
    const fail = () => {
      user.set('ada')
      lateReads.push(bind(() => user.get()))
      throw error
    }

    expect(() => runInScope(fail, quiet)).toThrow(error)
    await expect(runInScope(async () => fail(), quiet)).rejects.toBe(error)
    expect(lateReads.map((read) => read())).toEqual([undefined, undefined])
  })

  it('leaves its tasks running', async () => {
    const gate = Promise.withResolvers<void>()
    const task = runInScope(() => {
      user.set('ada')
      return spawn(async () => {
        await gate.promise
        return user.get()
      })
    })

    gate.resolve()

    expect(await task.result()).toBe('ada')
  })

  it('does not hide an unhandled rejection', async () => {
    const { code, stderr } = await runScript(`
      import { runInScope } from 'logical-context'
      runInScope(async () => {
        throw new Error('the import has failed')
      })
    `)

    expect(code).toBe(1)
    expect(stderr).toContain('the import has failed')
  })

  it.each<[name: string, fn: unknown, options: unknown, message: RegExp]>([
    ['no function', undefined, {}, /^runInScope: expected a function, got undefined/],
    ['an unknown option', () => {}, { timeout: 1 }, /^runInScope: unknown option 'timeout', expected one of: name, co/],
    ['a context that is none', () => {}, { context: new Map() }, /option 'context' expected a LogicalContext, got Map/],
    ['a group that is none', () => {}, { group: {} }, /option 'group' expected a TaskGroup, got \{\}/],
    [
      'an unknown lateWrites',
      () => {},
      { lateWrites: 'ignore' },
      /option 'lateWrites' expected 'throw' or 'report', g/,
    ],
    ['an onLateUse of text', () => {}, { onLateUse: 'log' }, /option 'onLateUse' expected a function, got 'log'/],
    ['null', () => {}, null, /^runInScope: expected an options object, got null/],
  ])('refuses %s', (_, fn, options, message) => {
    expect(() => runInScope(fn as () => void, options as object)).toThrow(TypeError)
    expect(() => runInScope(fn as () => void, options as object)).toThrow(message)
  })

  it('hands its group to what is spawned in it', async () => {
    const group = new TaskGroup()

    const task = runInScope(() => spawn(() => new Promise<void>(() => {})), { group })

    expect([...group.tasks]).toEqual([task])
  })
})
