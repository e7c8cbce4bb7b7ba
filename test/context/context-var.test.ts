import { inspect } from 'node:util'
import { bind, ContextVar, current, LogicalContext, run, runInScope } from 'logical-context'
import { describe, expect, it, vi } from 'vitest'

const late = { lateWrites: 'throw', onLateUse: () => {} } as const

describe('ContextVar', () => {
  it('has a name and a default', () => {
    const retries = new ContextVar<number, number>('retries', { default: 3 })

    expect({ name: retries.name, default: retries.default, text: String(retries) }).toEqual({
      name: 'retries',
      default: 3,
      text: 'ContextVar(retries)',
    })
  })

  it.each(['name', 'default', 'survivesSeal', 'sensitive'] as const)('has a %s that cannot be changed', (property) => {
    const token = new ContextVar<string>('token', { default: 'none', sensitive: true })
    const before = token[property]

    expect(() => Object.assign(token, { [property]: 'changed' })).toThrow(TypeError)
    expect(token[property]).toBe(before)
  })

  it.each<[way: string, show: (variable: unknown) => string]>([
    ['console.log', (variable) => inspect(variable)],
    ['console.dir without custom forms', (variable) => inspect(variable, { customInspect: false, showHidden: true })],
    ['JSON', (variable) => JSON.stringify({ variable })],
    ['a template', String],
  ])('does not show its default by %s', (_, show) => {
    const token = new ContextVar<string>('token', { default: 'hunter2', sensitive: true })

    expect(show(token)).toMatch(/^((?!hunter2)[^])*ContextVar/)
  })

  it('counts options with the value undefined as not set', () => {
    const options = { default: undefined, onSpawn: undefined, survivesSeal: undefined, sensitive: undefined }

    const variable = new ContextVar<string>('variable', options as never)

    expect([variable.default, variable.survivesSeal, variable.sensitive]).toEqual([undefined, false, false])
  })

  it('is a variable of its own even when it shares its name', () => {
    const first = new ContextVar<string>('user')
    const second = new ContextVar<string>('user')

    runInScope(() => {
      first.set('ada')

      expect([first.get(), second.get(), second.has()]).toEqual(['ada', undefined, false])
      expect(String(current())).toBe('LogicalContext(user)')
    })
  })

  it('survives the seal if it is kept at a spawn, unless it is configured otherwise', () => {
    const plain = new ContextVar('plain')
    const kept = new ContextVar('kept', { onSpawn: 'keep' })
    const keptForNow = new ContextVar('keptForNow', { onSpawn: 'keep', survivesSeal: false })
    const survivor = new ContextVar('survivor', { survivesSeal: true })

    expect([plain, kept, keptForNow, survivor].map((variable) => variable.survivesSeal)).toEqual([
      false,
      true,
      false,
      true,
    ])
  })

  it.each<[name: string, make: () => unknown, message: RegExp]>([
    ['no name', () => new (ContextVar as never as new () => unknown)(), /expected a name.*got undefined/],
    ['an empty name', () => new ContextVar(''), /expected a name.*got ''/],
    ['a symbol for a name', () => new ContextVar(Symbol('user') as never), /expected a name.*got Symbol\(user\)/],
    ['a number for a name', () => new ContextVar(7 as never), /expected a name.*got 7/],
    ['a String object for a name', () => new ContextVar(Object('user') as never), /expected a name.*got \[String/],
    ['an unknown option', () => new ContextVar('user', { keep: true } as never), /'user': unknown option 'keep'/],
    [
      'an unknown rule',
      () => new ContextVar('user', { onSpawn: 'copy' as never }),
      /'onSpawn' expected 'keep', 'drop'/,
    ],
    ['a survivesSeal of text', () => new ContextVar('user', { survivesSeal: 'yes' as never }), /expected a boolean/],
    ['a sensitive of null', () => new ContextVar('user', { sensitive: null as never }), /expected a boolean, got null/],
    ['options that are a list', () => new ContextVar('user', [] as never), /expected an options object, got \[\]/],
    ['options that are null', () => new ContextVar('user', null as never), /expected an options object, got null/],
  ])('refuses %s', (_, make, message) => {
    expect(make).toThrow(TypeError)
    expect(make).toThrow(message)
  })

  it('takes no place when it is refused', () => {
    const before = new ContextVar('before')

    expect(() => new ContextVar('refused', { keep: true } as never)).toThrow(TypeError)

    expect(new ContextVar('after').index).toBe(before.index + 1)
  })
})

describe('ContextVar.get', () => {
  const user = new ContextVar<string | undefined, string>('user', { default: 'guest' })

  it('returns the default outside any unit', () => {
    expect([user.get(), user.has()]).toEqual(['guest', false])
  })

  it('returns the default in a unit that did not set it', () => {
    expect(runInScope(() => [user.get(), user.has()])).toEqual(['guest', false])
  })

  it('is not a late read while the unit runs', () => {
    const onLateUse = vi.fn()

    runInScope(() => user.get(), { onLateUse })

    expect(onLateUse).not.toHaveBeenCalled()
  })

  it('returns a set undefined, and not the default', () => {
    const seen = runInScope(() => {
      user.set(undefined)
      return [user.get(), user.has(), current().get(user), current().has(user)]
    })

    expect(seen).toEqual([undefined, true, undefined, true])
  })

  it.each([
    ['null', null],
    ['zero', 0],
    ['NaN', Number.NaN],
    ['an empty text', ''],
    ['false', false],
    ['a symbol', Symbol('value')],
    ['the symbol for undefined of this package', Symbol.for('logical-context.something')],
    ['a function', () => {}],
  ])('returns %s as it was set', (_, value) => {
    const variable = new ContextVar<unknown, string>('variable', { default: 'default' })

    expect(
      runInScope(() => {
        variable.set(value)
        return variable.get()
      }),
    ).toBe(value)
  })

  it('needs no receiver of its own class', () => {
    const seen = runInScope(() => {
      user.set('ada')
      return ContextVar.prototype.get.call(user)
    })

    expect(seen).toBe('ada')
  })
})

describe('ContextVar.getOrThrow', () => {
  const user = new ContextVar<string | undefined>('user')

  it('returns the value', () => {
    const seen = runInScope(() => {
      user.set('ada')
      return user.getOrThrow()
    })

    expect(seen).toBe('ada')
  })

  it('returns undefined if that is the value', () => {
    const seen = runInScope(() => {
      user.set(undefined)
      return user.getOrThrow()
    })

    expect(seen).toBe(undefined)
  })

  it('returns the default, in a unit and outside any', () => {
    const locale = new ContextVar('locale', { default: 'en' })

    expect([locale.getOrThrow(), runInScope(() => locale.getOrThrow())]).toEqual(['en', 'en'])
  })

  it.each<[name: string, prepare: () => void]>([
    ['never set', () => {}],
    ['deleted', () => [user.set('ada'), user.delete()]],
  ])('throws if the value was %s', (_, prepare) => {
    const read = () =>
      runInScope(() => {
        prepare()
        return user.getOrThrow()
      })

    expect(read).toThrow(
      expect.objectContaining({
        name: 'NotSetError',
        code: 'LCTX_NOT_SET',
        message: expect.stringMatching(/^The variable 'user' is not set in the current unit of work\. Set it /),
      }),
    )
  })

  it('throws after the end of the unit, and reports the late read once', () => {
    const uses: string[] = []
    const read = runInScope(
      () => {
        user.set('ada')
        return bind(() => user.getOrThrow())
      },
      { onLateUse: ({ operation }) => uses.push(operation) },
    )

    expect(read).toThrow(
      expect.objectContaining({
        code: 'LCTX_NOT_SET',
        message: expect.stringMatching(/^The variable 'user' was read after the end of its unit, .* Await the work /),
      }),
    )
    expect(uses).toEqual(['read'])
  })

  it('throws outside any unit, with an error that has the remedy', () => {
    expect(() => user.getOrThrow()).toThrow(
      expect.objectContaining({
        code: 'LCTX_OUTSIDE_UNIT',
        message: expect.stringMatching(/^ContextVar 'user': getOrThrow\(\) was called outside any unit of work\./),
      }),
    )
  })
})

describe('ContextVar.set', () => {
  const user = new ContextVar<string>('user')

  it('is seen by code that the unit calls, awaits and starts', async () => {
    const seen = await runInScope(async () => {
      user.set('ada')
      const inner = async () => user.get()
      return [user.get(), await inner(), await Promise.resolve().then(() => user.get())]
    })

    expect(seen).toEqual(['ada', 'ada', 'ada'])
  })

  it('replaces what was set before', () => {
    const seen = runInScope(() => {
      user.set('ada')
      user.set('grace')
      return user.get()
    })

    expect(seen).toBe('grace')
  })

  it('throws outside any unit, with an error that has the remedy', () => {
    expect(() => user.set('ada')).toThrow(
      expect.objectContaining({
        name: 'OutsideUnitError',
        code: 'LCTX_OUTSIDE_UNIT',
        message: expect.stringMatching(/^ContextVar 'user': set\(\) was called outside any unit of work\..*runInScope/),
      }),
    )
    expect(user.has()).toBe(false)
  })

  it('throws after the end of the unit, with the names of both', () => {
    const lateSet = runInScope(() => bind(() => user.set('ada')), { ...late, name: 'import' })

    expect(lateSet).toThrow(
      expect.objectContaining({ code: 'LCTX_LATE_WRITE', message: expect.stringMatching(/'user'.*'import'/) }),
    )
  })

  it('does nothing but report after the end of a unit that is configured so', () => {
    const uses: unknown[] = []
    const lateSet = runInScope(() => bind(() => [user.set('ada'), user.get()]), {
      name: 'import',
      lateWrites: 'report',
      onLateUse: ({ operation, variable, unit }) => uses.push([operation, variable, unit]),
    })

    expect(lateSet()).toEqual([undefined, undefined])
    expect(uses).toEqual([
      ['write', 'user', 'import'],
      ['read', 'user', 'import'],
    ])
  })
})

describe('ContextVar.delete', () => {
  const user = new ContextVar<string | undefined, string>('user', { default: 'guest' })

  it('restores the default, and returns whether there was a value', () => {
    const seen = runInScope(() => {
      user.set('ada')
      return [user.delete(), user.get(), user.has(), user.delete()]
    })

    expect(seen).toEqual([true, 'guest', false, false])
  })

  it('takes a set undefined away too', () => {
    const seen = runInScope(() => {
      user.set(undefined)
      return [user.delete(), user.get()]
    })

    expect(seen).toEqual([true, 'guest'])
  })

  it('leaves the way free for a new value', () => {
    const seen = runInScope(() => {
      user.set('ada')
      user.delete()
      user.set('grace')
      return user.get()
    })

    expect(seen).toBe('grace')
  })

  it('throws outside any unit and after the end of one', () => {
    const lateDelete = runInScope(() => bind(() => user.delete()), late)

    expect(() => user.delete()).toThrow(expect.objectContaining({ code: 'LCTX_OUTSIDE_UNIT' }))
    expect(lateDelete).toThrow(expect.objectContaining({ code: 'LCTX_LATE_WRITE' }))
  })

  it('reports and answers no after the end of a unit that is configured so', () => {
    const lateDelete = runInScope(() => bind(() => user.delete()), { lateWrites: 'report', onLateUse: () => {} })

    expect(lateDelete()).toBe(false)
  })
})

describe('ContextVar.run', () => {
  const user = new ContextVar<string>('user')
  const tenant = new ContextVar<string>('tenant')

  it('sets the value for a block, and returns what the block returns', () => {
    const seen = runInScope(() => {
      user.set('ada')
      return [user.run('grace', (...args: number[]) => [user.get(), ...args], 1, 2), user.get()]
    })

    expect(seen).toEqual([['grace', 1, 2], 'ada'])
  })

  it('keeps inside what the block writes, before and after an await', async () => {
    const seen = await runInScope(async () => {
      tenant.set('acme')
      const inside = await user.run('grace', async () => {
        tenant.set('globex')
        await Promise.resolve()
        user.set('barbara')
        return [user.get(), tenant.get()]
      })
      return { inside, outside: [user.get(), tenant.get()] }
    })

    expect(seen).toEqual({ inside: ['barbara', 'globex'], outside: [undefined, 'acme'] })
  })

  it('does not show the block what is written outside meanwhile', async () => {
    const written = Promise.withResolvers<void>()

    const seen = await runInScope(async () => {
      const inside = user.run('grace', async () => {
        await written.promise
        return tenant.get()
      })
      tenant.set('globex')
      written.resolve()
      return inside
    })

    expect(seen).toBe(undefined)
  })

  it('throws an error unchanged', () => {
    const error = new Error('in the block')

    expect(() =>
      user.run('ada', () => {
        throw error
      }),
    ).toThrow(error)
    expect(user.get()).toBe(undefined)
  })

  it('works outside any unit, and may write there', () => {
    const seen = user.run('ada', () => {
      tenant.set('acme')
      return tenant.run('globex', () => [user.get(), tenant.get()])
    })

    expect(seen).toEqual(['ada', 'globex'])
    expect([user.get(), tenant.get()]).toEqual([undefined, undefined])
  })

  it('is a block of its own after the end of the unit', () => {
    const lateBlock = runInScope(
      () => bind(() => user.run('ada', () => [user.get(), tenant.run('acme', () => tenant.get())])),
      late,
    )

    expect(lateBlock()).toEqual(['ada', 'acme'])
  })
})

describe('ContextVar.run, called wrongly', () => {
  it.each<[name: string, args: unknown[], got: string]>([
    ['swapped arguments', [() => {}, 'ada'], "'ada'"],
    ['only a function', [() => {}], 'undefined'],
    ['a promise', ['ada', Promise.resolve(1)], 'Promise { 1 }'],
  ])('refuses %s', (_, args, got) => {
    const user = new ContextVar<unknown>('user')
    const call = () => Reflect.apply(user.run, user, args) as unknown

    expect(call).toThrow(TypeError)
    expect(call).toThrow(`ContextVar 'user': run() expected a function after the value, got ${got}.`)
  })

  it('does not show a sensitive value in the error', () => {
    const token = new ContextVar<unknown>('token', { sensitive: true })

    expect(() => token.run(() => {}, 'hunter2' as never)).toThrow('after the value, got a value of type string.')
  })
})

describe('ContextVar.override', () => {
  const user = new ContextVar<string, string>('user', { default: 'guest' })

  it('restores the previous value at the end of the using block', () => {
    const seen = runInScope(() => {
      user.set('ada')
      const during = []
      {
        using _ = user.override('grace')
        during.push(user.get())
        user.set('barbara')
        during.push(user.get())
      }
      return [...during, user.get()]
    })

    expect(seen).toEqual(['grace', 'barbara', 'ada'])
  })

  it('restores the absence of a value', () => {
    const seen = runInScope(() => {
      {
        using _ = user.override('grace')
      }
      return [user.has(), user.get(), String(current())]
    })

    expect(seen).toEqual([false, 'guest', 'LogicalContext()'])
  })

  it('restores after a throw and across an await', async () => {
    const seen = await runInScope(async () => {
      user.set('ada')
      try {
        using _ = user.override('grace')
        await Promise.resolve()
        throw new Error(user.get())
      } catch (error) {
        return [(error as Error).message, user.get()]
      }
    })

    expect(seen).toEqual(['grace', 'ada'])
  })

  it('nests', () => {
    const seen = runInScope(() => {
      const log = []
      {
        using outer = user.override('ada')
        {
          using inner = user.override('grace')
          log.push(user.get(), inner !== outer)
        }
        log.push(user.get())
      }
      return [...log, user.get()]
    })

    expect(seen).toEqual(['grace', true, 'ada', 'guest'])
  })

  it('restores once: a second dispose does not undo a later write', () => {
    const seen = runInScope(() => {
      const override = user.override('grace')
      override[Symbol.dispose]()
      user.set('ada')
      override[Symbol.dispose]()
      return user.get()
    })

    expect(seen).toBe('ada')
  })

  it('restores in the unit where it was made, also if another unit disposes it', () => {
    const seen = runInScope(() => {
      user.set('ada')
      const override = user.override('grace')
      const inside = runInScope(() => {
        override[Symbol.dispose]()
        return user.get()
      })
      return [inside, user.get()]
    })

    expect(seen).toEqual(['guest', 'ada'])
  })

  it('restores nothing after the end of the unit, and does not throw', () => {
    const { override, lateRead } = runInScope(() => {
      user.set('ada')
      return { override: user.override('grace'), lateRead: bind(() => user.get()) }
    }, late)

    override[Symbol.dispose]()

    expect(lateRead()).toBe('guest')
  })

  it('throws outside any unit and after the end of one', () => {
    const lateOverride = runInScope(() => bind(() => user.override('ada')), late)

    expect(() => user.override('ada')).toThrow(expect.objectContaining({ code: 'LCTX_OUTSIDE_UNIT' }))
    expect(lateOverride).toThrow(expect.objectContaining({ code: 'LCTX_LATE_WRITE' }))
  })

  it('does nothing but report after the end of a unit that is configured so, nor does its disposal', () => {
    const reports: string[] = []

    const late = runInScope(() => bind(() => user.override('late')), {
      lateWrites: 'report',
      onLateUse: ({ operation }) => reports.push(operation),
    })
    late()[Symbol.dispose]()

    expect(reports).toEqual(['write'])
  })

  it('leaves a variable with a rule in the list of those once', () => {
    const kept = new ContextVar<number>('kept', { onSpawn: 'keep' })

    const context = runInScope(() => {
      for (let i = 0; i < 100; i++) {
        using _ = kept.override(i)
      }
      return current()
    })

    expect(depthOf(context.toValues()[1])).toBe(1)
  })
})

describe('two interleaved flows of one unit', () => {
  const role = new ContextVar<string>('role')

  const both = (elevate: (finish: Promise<void>) => Promise<void>) =>
    runInScope(async () => {
      role.set('customer')
      const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const flows = gates.map((gate) => elevate(gate.promise))
      for (const [index, gate] of gates.entries()) {
        gate.resolve()
        await flows[index]
      }
      return role.get()
    })

  it('leave the value of one of them after overrides', async () => {
    const left = await both(async (finish) => {
      using _ = role.override('admin')
      await finish
    })

    expect(left).toBe('admin')
  })

  it('leave no value after runs', async () => {
    const left = await both((finish) => role.run('admin', () => finish))

    expect(left).toBe('customer')
  })
})

describe('a variable outside any unit', () => {
  it.each<[operation: string, call: (variable: ContextVar<string>) => unknown]>([
    ['set', (variable) => variable.set('value')],
    ['delete', (variable) => variable.delete()],
    ['override', (variable) => variable.override('value')],
  ])('says what was called: %s', (operation, call) => {
    const variable = new ContextVar<string>('variable')

    expect(() => call(variable)).toThrow(`ContextVar 'variable': ${operation}() was called outside any unit of work.`)
  })
})

describe('variables that are created again and again', () => {
  it('are reported once, if they are created inside units', () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})

    runInScope(() => {
      for (let count = 0; count < 300; count++) new ContextVar('user').set('ann' as never)
    })

    const warnings = warn.mock.calls.map(([text]) => text)
    warn.mockRestore()
    expect(warnings).toEqual([
      "logical-context: 100 variables were created inside units of work, the last of them is 'user'. Create each " +
        'ContextVar once, at the top of a module: its place in every context is never free again.',
    ])
  })
})

describe('a variable in a snapshot', () => {
  it('is what it was when the snapshot was taken', () => {
    const user = new ContextVar<string>('user')

    const snapshot = runInScope(() => {
      user.set('ada')
      const taken = current()
      user.set('grace')
      return taken
    })

    expect(snapshot.get(user)).toBe('ada')
    expect(run(snapshot, () => user.get())).toBe('ada')
    expect(run(LogicalContext.empty, () => user.get())).toBe(undefined)
  })
})

function depthOf(list: unknown): number {
  let depth = 0
  for (let link = list as { rest: unknown } | undefined; link !== undefined; link = link.rest as never) depth++
  return depth
}
