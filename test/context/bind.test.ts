import { AsyncLocalStorage } from 'node:async_hooks'
import { bind, ContextVar, current, LogicalContext, runInScope } from 'logical-context'
import { describe, expect, it } from 'vitest'

const user = new ContextVar<string>('user')
const tenant = new ContextVar<string>('tenant')

describe('bind', () => {
  it('makes a callback part of the unit that binds it: reads and writes are the unit’s', async () => {
    const seen = await runInScope(async () => {
      user.set('ada')
      const bound = bind((name: string) => {
        const before = user.get()
        user.set(name)
        return before
      })
      user.set('grace')
      const inside = runInScope(() => {
        user.set('another user')
        return [bound('barbara'), user.get()]
      })
      return [inside, user.get()]
    })

    expect(seen).toEqual([['grace', 'another user'], 'barbara'])
  })

  it('keeps receiver, arguments and result', () => {
    const bound = bind(function (this: { base: number }, ...numbers: number[]) {
      return numbers.reduce((sum, number) => sum + number, this.base)
    })

    expect(bound.call({ base: 10 }, 1, 2)).toBe(13)
  })

  it.each<[name: string, fn: (...args: unknown[]) => unknown]>([
    [
      '',
      (
        () =>
        (...args: unknown[]) =>
          args
      )(),
    ],
    [
      '',
      (
        () =>
        (first: unknown, ...rest: unknown[]) => [first, ...rest]
      )(),
    ],
    [
      'noParameter',
      function noParameter(...args) {
        return args
      },
    ],
    ['__proto__', (first, second, ...rest) => [first, second, ...rest]],
    ['async', async (first, second, third, ...rest) => [first, second, third, ...rest]],
    [
      'five',
      function five(a, b, c, d, e, ...rest) {
        return [a, b, c, d, e, ...rest]
      },
    ],
  ])('keeps the name and the length of the function: %s', async (name, fn) => {
    Object.defineProperty(fn, 'name', { value: name })
    const bound = bind(fn)

    expect([bound.name, bound.length]).toEqual([name, fn.length])
    expect(await bound(1, 2, 3, 4, 5, 6)).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('passes as many arguments as its caller', () => {
    const bound = bind(function count(_first: unknown, _second?: unknown) {
      return arguments.length
    })

    expect([bound(1), bound(1, 2), Reflect.apply(bound, undefined, [1, 2, 3])]).toEqual([1, 2, 3])
  })

  it('throws an error unchanged', () => {
    const error = new Error('bound')
    const bound = bind(() => {
      throw error
    })

    expect(() => runInScope(bound)).toThrow(error)
  })

  it('binds to the block in a block', () => {
    const seen = runInScope(() => {
      const bound = user.run('ada', () =>
        bind(() => {
          tenant.set('acme')
          return [user.get(), tenant.get()]
        }),
      )
      return [bound(), user.get(), tenant.get()]
    })

    expect(seen).toEqual([['ada', 'acme'], undefined, undefined])
  })

  it('binds what other libraries keep, too', () => {
    const other = new AsyncLocalStorage<string>()

    const bound = other.run('a span', () => bind(() => other.getStore()))

    expect(other.run('another span', bound)).toBe('a span')
  })

  it('binds to no unit where there is none', () => {
    const bound = bind(() => [user.get(), current() === LogicalContext.empty])

    const seen = runInScope(() => {
      user.set('ada')
      return bound()
    })

    expect(seen).toEqual([undefined, true])
  })

  it.each([undefined, null, 'text', {}])('refuses %s', (value) => {
    expect(() => bind(value as never)).toThrow(/^bind: expected a function, got /)
    expect(() => bind(value as never)).toThrow(TypeError)
  })
})
