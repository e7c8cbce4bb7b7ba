// The example of the discussion of PEP 550 on python-dev, August 2017: an awaited call, and the same call under a timeout.
// docs/concepts.md has the other examples of the PEP as rules; contextvars.test.ts has the tests of CPython.
import { ContextVar, type Policy, runInScope, spawn, withTimeout } from 'logical-context'
import { describe, expect, it } from 'vitest'

const variable = new ContextVar<number>('var')

async function bar(): Promise<void> {
  await Promise.resolve()
  variable.set(42)
}

describe('var.set(1); await bar(); var.get()', () => {
  it.each<[name: string, call: () => Promise<unknown>, after: number]>([
    ['bar()', bar, 42],
    ['wait_for(bar()), which returns 1 in asyncio', () => withTimeout(bar, 60_000), 42],
    ['a timeout made of a race', () => withinAMinute(bar()), 42],
    ['a task under inherit', () => spawned('inherit'), 1],
    ['a task under isolate', () => spawned('isolate'), 1],
    ['a task under only', () => spawned({ only: [variable] }), 1],
    ['a task under share', () => spawned('share'), 42],
  ])('returns what the way of the call allows: %s', async (_, call, after) => {
    const seen = await runInScope(async () => {
      variable.set(1)
      await call()
      return variable.get()
    })

    expect(seen).toBe(after)
  })
})

function spawned(policy: Policy): Promise<void> {
  return spawn(bar, { policy }).result()
}

async function withinAMinute<R>(work: Promise<R>): Promise<R> {
  const limit = Promise.withResolvers<never>()
  const timer = setTimeout(() => limit.reject(new Error('too slow')), 60_000)
  try {
    return await Promise.race([work, limit.promise])
  } finally {
    clearTimeout(timer)
  }
}
