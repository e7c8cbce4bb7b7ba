import { describe, expect, it, vi } from 'vitest'
import { aSyncFunction, isPromise, reportOnce } from '../src/callbacks.ts'

describe('aSyncFunction', () => {
  it.each<[name: string, value: unknown]>([
    ['an arrow function', () => 1],
    ['a class', Map],
    ['a bound async function, which cannot be recognised', Function.prototype.bind.call(async () => 1, undefined)],
  ])('accepts %s', (_name, value) => {
    expect(aSyncFunction.accepts(value)).toBe(true)
  })

  it.each<[name: string, value: unknown]>([
    ['an async function', async () => 1],
    ['a generator', function* () {}],
    ['an async generator', async function* () {}],
    ['an object', {}],
    ['undefined', undefined],
  ])('rejects %s', (_name, value) => {
    expect(aSyncFunction.accepts(value)).toBe(false)
  })
})

describe('isPromise', () => {
  const throwing = {
    get then(): never {
      throw new Error('boom')
    },
  }

  it.each<[name: string, value: unknown, answer: boolean]>([
    ['a promise', Promise.resolve(), true],
    ['a thenable', { then() {} }, true],
    ['a function with then()', Object.assign(() => {}, { then() {} }), true],
    ['an object whose then throws', throwing, true],
    ['an object', {}, false],
    ['an object whose then is not a function', { then: 1 }, false],
    ['null', null, false],
    ['undefined', undefined, false],
    ['a text', 'then', false],
  ])('is right for %s', (_name, value, answer) => {
    expect(isPromise(value)).toBe(answer)
  })

  it('handles the rejection of a native promise', async () => {
    isPromise(Promise.reject(new Error('rejected')))

    // An unhandled rejection is emitted after the microtasks, and fails the run.
    await new Promise((resolve) => setImmediate(resolve))
  })

  it('does not start a lazy thenable', () => {
    const then = vi.fn()

    isPromise({ then })

    expect(then).not.toHaveBeenCalled()
  })
})

describe('reportOnce', () => {
  it('logs the first failure of each owner', () => {
    using logged = vi.spyOn(console, 'error').mockImplementation(() => {})
    const [first, second] = [() => {}, () => {}]

    reportOnce(first, 'a()', 'x')
    reportOnce(first, 'a()', 'y')
    reportOnce(second, 'b()', 'z')

    expect(logged.mock.calls).toEqual([
      ["logical-context: a() failed. It is reported once. 'x'"],
      ["logical-context: b() failed. It is reported once. 'z'"],
    ])
  })
})
