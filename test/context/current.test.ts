import { ContextVar, current, LogicalContext, outside, run, runInScope, spawn } from 'logical-context'
import { describe, expect, it } from 'vitest'

const user = new ContextVar<string>('user')
const tenant = new ContextVar<string>('tenant')

describe('current', () => {
  it('is the empty context outside any unit', () => {
    expect(current()).toBe(LogicalContext.empty)
  })

  it('is a snapshot of the unit', () => {
    const seen = runInScope(() => {
      user.set('ada')
      const snapshot = current()
      user.set('grace')
      return [snapshot.get(user), current().get(user)]
    })

    expect(seen).toEqual(['ada', 'grace'])
  })

  it('is a snapshot of the block in a block', () => {
    const seen = runInScope(() => {
      user.set('ada')
      return tenant.run('acme', () => [current().get(user), current().get(tenant)])
    })

    expect(seen).toEqual(['ada', 'acme'])
  })

  it('copies nothing', () => {
    const [first, second] = runInScope(() => {
      user.set('ada')
      return [current(), current()]
    })

    expect(first?.toValues()).toBe(second?.toValues())
  })
})

describe('run', () => {
  it('starts from the context, whatever the caller has', () => {
    const context = LogicalContext.empty.with(user, 'ada')

    const seen = runInScope(() => {
      user.set('grace')
      tenant.set('acme')
      return [run(context, () => [user.get(), tenant.get()]), user.get(), tenant.get()]
    })

    expect(seen).toEqual([['ada', undefined], 'grace', 'acme'])
  })

  it('starts twice with the same values, nested too', async () => {
    const context = LogicalContext.empty.with(user, 'ada')
    const write = async () => {
      const before = user.get()
      user.set('grace')
      await Promise.resolve()
      return [before, user.get(), run(context, () => user.get())]
    }

    expect(await Promise.all([run(context, write), run(context, write)])).toEqual([
      ['ada', 'grace', 'ada'],
      ['ada', 'grace', 'ada'],
    ])
  })

  it('passes arguments in, and returns the result or throws the error', () => {
    const error = new Error('in the block')

    expect(run(LogicalContext.empty, (a: number, b: number) => a + b, 1, 2)).toBe(3)
    expect(() =>
      run(LogicalContext.empty, () => {
        throw error
      }),
    ).toThrow(error)
  })

  it('stays in the unit of the caller, which owns what is spawned in it', () => {
    const foreign = runInScope(() => {
      user.set('ada')
      return current()
    })

    const task = runInScope(() => run(foreign, () => spawn(() => user.get())))

    return expect(task.result()).resolves.toBe('ada')
  })

  it('may write outside any unit, but not spawn', () => {
    const block = () =>
      run(LogicalContext.empty, () => {
        user.set('ada')
        expect(user.get()).toBe('ada')
        spawn(() => {})
      })

    expect(block).toThrow(expect.objectContaining({ code: 'LCTX_OUTSIDE_UNIT' }))
  })
})

describe('run, called wrongly', () => {
  it.each<[name: string, call: () => unknown, message: string]>([
    ['only a function', () => run((() => {}) as never, undefined as never), 'expected a LogicalContext, got [Function'],
    ['a Map for a context', () => run(new Map() as never, () => {}), 'expected a LogicalContext, got Map(0) {}.'],
    ['no function', () => run(LogicalContext.empty, 1 as never), 'expected a function, got 1.'],
  ])('refuses %s', (_, call, message) => {
    expect(call).toThrow(TypeError)
    expect(call).toThrow(`run: ${message}`)
  })
})

describe('outside', () => {
  it('refuses what is not a function', () => {
    expect(() => outside(1 as never)).toThrow(new TypeError('outside: expected a function, got 1.'))
  })

  it('passes arguments in, and returns the result', () => {
    expect(outside((a: number, b: number) => a + b, 1, 2)).toBe(3)
  })
})
