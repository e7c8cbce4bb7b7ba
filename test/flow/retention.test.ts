import { EventEmitter } from 'node:events'
import { bind, ContextVar, current, isolateGenerator, type RequestScope, run, runInScope, spawn } from 'logical-context'
import { afterEach, describe, expect, it } from 'vitest'
import { isCollected } from './memory.ts'

const user = new ContextVar<object>('user')
const quiet = { onLateUse: () => {} }

/** What outlives its unit here, as timers, caches and sockets do in a server. */
const outliving: unknown[] = []
afterEach(() => {
  for (const held of outliving.splice(0)) if (held instanceof Timer) held.stop()
})

describe('after the end of a unit, its values are not held by', () => {
  it.each<[name: string, leave: (scope: RequestScope) => unknown]>([
    ['a timer that is idle', () => new Timer(() => user.get())],
    ['a timer of a block', () => user.run(current().get(user) ?? {}, () => new Timer(() => user.get()))],
    ['a timer of a run', () => run(current(), () => new Timer(() => user.get()))],
    ['a promise that is forgotten', () => new Promise(() => {}).then(() => user.get())],
    ['an async function that waits for ever', () => waitForEver()],
    ['a bound function in a cache', () => bind(() => user.get())],
    ['a bound function of a block', () => user.run(current().get(user) ?? {}, () => bind(() => user.get()))],
    [
      'a listener',
      () =>
        new EventEmitter().on(
          'event',
          bind(() => user.get()),
        ),
    ],
    ['a generator that is suspended', () => suspended()],
    ['an async generator that is suspended', () => suspendedAsync()],
    ['a generator that has set the value itself', () => suspendedWith(current().get(user) ?? {})],
    ['a task that has ended', () => spawn(() => {})],
    ['a shared task that still runs', () => spawn(waitForEver, { policy: 'share' })],
    ['an isolated task that still runs', () => spawn(waitForEver, { policy: 'isolate' })],
    ['a task with other variables that still runs', () => spawn(waitForEver, { policy: { only: [] } })],
    ['a task of an isolated task', () => spawn(() => spawn(waitForEver), { policy: 'isolate' })],
    ['an override that was never disposed', () => user.override({})],
    ['a unit that was opened in it', () => runInScope(waitForEver)],
    ['its scope', (scope) => scope],
  ])('%s', async (_, leave) => {
    const value = inUnit(leave)

    expect(await isCollected(value)).toBe(true)
  })
})

describe('after the end of a unit, its values are held by', () => {
  // The control, which shows that the tests above can fail.
  it('a snapshot that is held', async () => {
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
  it('holds the values it sees, and no longer than it runs', async () => {
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

  it('holds the request’s scope where it is cancelled with it, and no longer than it runs', async () => {
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

class Timer {
  readonly #handle: NodeJS.Timeout

  constructor(callback: () => void) {
    this.#handle = setInterval(callback, 3_600_000)
  }

  stop(): void {
    clearInterval(this.#handle)
  }
}

/** The value of a unit that has ended, and has left something behind that is held. */
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

/** The scope of a unit that has ended, and has left something behind that is held. */
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

async function waitForEver(): Promise<void> {
  await new Promise(() => {})
  user.get()
}

function suspended(): unknown {
  const generator = isolateGenerator(function* () {
    for (;;) yield user.has()
  })()
  generator.next()
  return generator
}

function suspendedAsync(): unknown {
  const generator = isolateGenerator(async function* () {
    for (;;) yield user.has()
  })()
  void generator.next()
  return generator
}

function suspendedWith(value: object): unknown {
  const generator = isolateGenerator(function* (own: WeakRef<object>) {
    setFrom(own)
    yield 1
  })(new WeakRef(value))
  generator.next()
  return generator
}

/** Apart from the generator, whose variables would hold the value. */
function setFrom(ref: WeakRef<object>): void {
  const value = ref.deref()
  if (value !== undefined) user.set(value)
}
