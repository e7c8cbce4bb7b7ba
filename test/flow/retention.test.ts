import { bind, current, type RequestScope, runInScope, spawn } from 'logical-context'
import { afterEach, describe, expect, it } from 'vitest'
import { leftovers, tidy, user, waitForEver } from './leftovers.ts'
import { isCollected } from './memory.ts'

const quiet = { onLateUse: () => {} }
/** What is not collected takes every try. */
const slow = { timeout: 30_000 }

/** What outlives its unit here, as timers, caches and sockets do in a server. */
const outliving: unknown[] = []
afterEach(() => outliving.splice(0).forEach(tidy))

describe('after the end of a unit, its values are not held by', () => {
  it.each(leftovers)('%s', async (_, leave) => {
    const value = inUnit(leave)

    expect(await isCollected(value)).toBe(true)
  })
})

describe('after the end of a unit, its values are held by', () => {
  // The control, which shows that the tests above can fail.
  it('a snapshot that is held', slow, async () => {
    const value = inUnit(() => current())

    expect(await isCollected(value)).toBe(false)
  })
})

describe('a scope that has ended', () => {
  it('does not hold the blocks that late code runs in it', async () => {
    const values: WeakRef<object>[] = []
    const runLate = runInScope((scope) => {
      outliving.push(scope)
      return bind(() => user.run(remembered(values), () => {}))
    }, quiet)

    runLate()

    expect(await Promise.all(values.map(isCollected))).toEqual([true])
  })
})

describe('a task that inherits', () => {
  it('holds the values it sees, and no longer than it runs', slow, async () => {
    const gate = Promise.withResolvers<void>()
    const value = inUnit(() => spawn(() => gate.promise.then(() => user.has())))

    const whileRunning = await isCollected(value)
    gate.resolve()

    expect(whileRunning).toBe(false)
    expect(await isCollected(value)).toBe(true)
  })

  it('does not hold the request’s scope', async () => {
    const scope = scopeOf(() => spawn(waitForEver))

    expect(await isCollected(scope)).toBe(true)
  })

  it('holds the request’s scope where it is cancelled with it, and no longer than it runs', slow, async () => {
    const gate = Promise.withResolvers<void>()
    const scope = scopeOf(() => spawn(() => gate.promise, { cancelWith: 'request' }))

    const whileRunning = await isCollected(scope)
    gate.resolve()

    expect(whileRunning).toBe(false)
    expect(await isCollected(scope)).toBe(true)
  })
})

describe('a long unit', () => {
  it('does not hold what it has deleted or overwritten', async () => {
    const gate = Promise.withResolvers<void>()
    const values: WeakRef<object>[] = []

    const unit = runInScope(async () => {
      user.set(remembered(values))
      user.set(remembered(values))
      user.delete()
      await gate.promise
    })

    expect(await Promise.all(values.map(isCollected))).toEqual([true, true])
    gate.resolve()
    await unit
  })
})

/** The value of a unit that has ended, and of which an object is kept. */
function inUnit(leave: (scope: RequestScope) => unknown): WeakRef<object> {
  const values: WeakRef<object>[] = []
  runInScope((scope) => {
    user.set(remembered(values))
    outliving.push(leave(scope))
  }, quiet)
  const [value] = values
  if (value === undefined) throw new Error('The unit has not run.')
  return value
}

/** The scope of a unit that has ended, and of which an object is kept. */
function scopeOf(leave: () => unknown): WeakRef<object> {
  return runInScope((scope) => {
    outliving.push(leave())
    return new WeakRef(scope)
  }, quiet)
}

function remembered(values: WeakRef<object>[]): object {
  const value = { payload: 'x'.repeat(1000) }
  values.push(new WeakRef(value))
  return value
}
