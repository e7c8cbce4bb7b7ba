import { AsyncLocalStorage } from 'node:async_hooks'
import { ContextVar, outside, runInScope, spawn } from 'logical-context'
import { describe, expect, it } from 'vitest'

const user = new ContextVar<string>('user')
const trace = new AsyncLocalStorage<string>()
const tick = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('outside', () => {
  it('runs its function in no context, and in none of other libraries, also after an await', async () => {
    const seen = await runInScope(() => {
      user.set('ada')
      return trace.run('a span', () =>
        outside(async () => {
          const before = [user.get(), trace.getStore()]
          await tick()
          return [...before, user.get(), trace.getStore()]
        }),
      )
    })

    expect(seen).toEqual([undefined, undefined, undefined, undefined])
  })

  it('passes arguments in, and returns or throws what its function does', () => {
    expect(outside((a: number, b: number) => a + b, 1, 2)).toBe(3)
    expect(() =>
      outside(() => {
        throw new RangeError('boom')
      }),
    ).toThrow(RangeError)
  })

  it('leaves the caller where it is', () => {
    const seen = runInScope(() => {
      user.set('ada')
      outside(() => {})
      return user.get()
    })

    expect(seen).toBe('ada')
  })

  it('is not a unit: a task has no owner there', () => {
    const attempt = () => runInScope(() => outside(() => spawn(() => {})))

    expect(attempt).toThrow(expect.objectContaining({ code: 'LCTX_OUTSIDE_UNIT' }))
  })

  it('throws a TypeError for no function', () => {
    expect(() => outside('fn' as never)).toThrow(TypeError)
    expect(() => outside('fn' as never)).toThrow("outside: expected a function, got 'fn'.")
  })
})
