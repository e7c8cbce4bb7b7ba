import { Readable } from 'node:stream'
import { AsyncLocalStorage } from 'node:async_hooks'
import {
  bind,
  ContextVar,
  current,
  currentSignal,
  isolateGenerator,
  type LogicalContext,
  outside,
  runInScope,
  shield,
  spawn,
  TaskGroup,
} from 'logical-context'
import { describe, expect, it } from 'vitest'
import { storage } from '../../src/context/storage.ts'

const user = new ContextVar<string, string>('user', { default: 'guest' })
const tenant = new ContextVar<string>('tenant')
const trail = new ContextVar<string>('trail', { onSpawn: 'keep' })

/** Not in the library of ES2024. */
interface IteratorWithHelpers<T> {
  map<U>(convert: (value: T) => U): IteratorWithHelpers<U>
  take(limit: number): IteratorWithHelpers<T>
  toArray(): T[]
}

/** Yields what it sees before and after it sets a value of its own. */
const announce = isolateGenerator(function* (name: string) {
  yield user.get()
  user.set(name)
  for (;;) yield user.get()
})

describe('isolateGenerator', () => {
  it('sees the driver’s current values, except where it has set its own', () => {
    const seen = runInScope(() => {
      const generator = isolateGenerator(function* () {
        for (;;) {
          yield [user.get(), tenant.get()]
          user.set('own')
        }
      })()
      user.set('ada')
      const steps = [generator.next().value]
      user.set('grace')
      tenant.set('acme')
      steps.push(generator.next().value)
      tenant.set('globex')
      steps.push(generator.next().value)
      return steps
    })

    expect(seen).toEqual([
      ['ada', undefined],
      ['own', 'acme'],
      ['own', 'globex'],
    ])
  })

  it('keeps inside what the body sets', () => {
    const seen = runInScope(() => {
      user.set('ada')
      const generator = announce('own')
      return [generator.next().value, generator.next().value, user.get(), String(current())]
    })

    expect(seen).toEqual(['ada', 'own', 'ada', 'LogicalContext(user)'])
  })

  it('keeps interleaved generators apart', () => {
    const seen = runInScope(() => {
      user.set('ada')
      const [first, second] = [announce('first'), announce('second')]
      return [first, second, first, second, first].map((generator) => generator.next().value)
    })

    expect(seen).toEqual(['ada', 'ada', 'first', 'second', 'first'])
  })

  it('is driven by one unit after another, and sees the values of the one that drives', async () => {
    const generator = isolateGenerator(function* () {
      for (;;) yield user.get()
    })()
    const drive = (name: string) =>
      runInScope(async () => {
        user.set(name)
        const first = generator.next().value
        await Promise.resolve()
        return [first, generator.next().value]
      })

    expect(await Promise.all([drive('ada'), drive('grace')])).toEqual([
      ['ada', 'ada'],
      ['grace', 'grace'],
    ])
  })

  it('is not cut off where one of its units ends while another drives it', async () => {
    const generator = announce('own')

    const seen = await runInScope(async () => {
      user.set('ada')
      const steps = runInScope(() => {
        user.set('grace')
        return [generator.next().value]
      })
      const ended = Promise.withResolvers<void>()
      const inner = runInScope(async () => {
        generator.next()
        await ended.promise
      })
      steps.push(generator.next().value)
      ended.resolve()
      await inner
      return [...steps, generator.next().value]
    })

    expect(seen).toEqual(['grace', 'own', 'own'])
  })

  it('is driven outside any unit', () => {
    const generator = announce('own')

    expect([generator.next().value, generator.next().value, user.get()]).toEqual(['guest', 'own', 'guest'])
  })

  it('is driven outside any unit while the unit that has driven it before still runs', () => {
    const generator = announce('own')

    const seen = runInScope(() => {
      user.set('ada')
      return [generator.next().value, outside(() => generator.next().value), generator.next().value]
    })

    expect(seen).toEqual(['ada', 'own', 'own'])
  })

  it('has methods that can be replaced, and are not enumerated, as those of any generator', () => {
    const descriptor = Object.getOwnPropertyDescriptor(announce('own'), 'next')

    expect(descriptor).toMatchObject({ configurable: true, writable: true, enumerable: false })
  })

  it('hides the driver’s value where the body deletes it, and only from the body', () => {
    const seen = runInScope(() => {
      user.set('ada')
      const generator = isolateGenerator(function* () {
        yield [user.delete(), user.get(), user.has(), user.delete()]
        yield [user.get(), current().has(user)]
      })()
      const first = generator.next().value
      user.set('grace')
      return [first, generator.next().value, user.get()]
    })

    expect(seen).toEqual([[true, 'guest', false, false], ['guest', false], 'grace'])
  })

  it('goes back to the driver’s value after an override', () => {
    const seen = runInScope(() => {
      user.set('ada')
      const generator = isolateGenerator(function* () {
        {
          using _ = user.override('own')
          yield user.get()
        }
        yield user.get()
      })()
      const first = generator.next().value
      user.set('grace')
      return [first, generator.next().value]
    })

    expect(seen).toEqual(['own', 'grace'])
  })

  it('passes arguments, receiver, sent values and the result through', () => {
    const sum = isolateGenerator(function* (this: { base: number }, first: number) {
      let total = this.base + first
      for (;;) {
        const next: number | undefined = yield total
        if (next === undefined) return `total ${total}`
        total += next
      }
    })

    const generator = sum.call({ base: 100 }, 10)

    expect([generator.next(), generator.next(1), generator.next(2), generator.next(), generator.next()]).toEqual([
      { done: false, value: 110 },
      { done: false, value: 111 },
      { done: false, value: 113 },
      { done: true, value: 'total 113' },
      { done: true, value: undefined },
    ])
  })

  it('runs the finally of its body in its layer when a for-of loop breaks or returns', () => {
    const log: unknown[] = []
    const numbers = isolateGenerator(function* () {
      try {
        user.set('own')
        yield 1
        yield 2
      } finally {
        log.push(user.get())
        user.set('from finally')
      }
    })
    const firstOf = () => {
      for (const number of numbers()) return number
      return undefined
    }

    runInScope(() => {
      user.set('ada')
      for (const number of numbers()) if (number === 1) break
      log.push(user.get())
      log.push(firstOf())
      log.push(user.get())
    })

    expect(log).toEqual(['own', 'ada', 'own', 1, 'ada'])
  })

  it('catches a thrown error in its layer', () => {
    const seen = runInScope(() => {
      user.set('ada')
      const generator = isolateGenerator(function* () {
        user.set('own')
        try {
          yield 1
        } catch (error) {
          yield [(error as Error).message, user.get()]
        }
      })()
      generator.next()
      return [generator.throw(new Error('thrown in')).value, user.get()]
    })

    expect(seen).toEqual([['thrown in', 'own'], 'ada'])
  })

  it('throws an error of its body unchanged', () => {
    const error = new Error('in the body')
    const generator = isolateGenerator(function* () {
      yield 1
      throw error
    })()

    generator.next()

    expect(() => generator.next()).toThrow(error)
  })

  it('delegates with yield*, each generator in its own layer', () => {
    const inner = isolateGenerator(function* () {
      yield ['inner', user.get(), tenant.get()]
      tenant.set('inner’s')
      yield ['inner', user.get(), tenant.get()]
    })
    const outer = isolateGenerator(function* () {
      user.set('outer’s')
      yield* inner()
      yield ['outer', user.get(), tenant.get()]
    })

    const seen = runInScope(() => {
      tenant.set('acme')
      return [...outer()]
    })

    expect(seen).toEqual([
      ['inner', 'outer’s', 'acme'],
      ['inner', 'outer’s', 'inner’s'],
      ['outer', 'outer’s', 'acme'],
    ])
  })

  it('works through iterator helpers, whose callbacks run in the driver', () => {
    const seen = runInScope(() => {
      user.set('ada')
      const names = announce('own') as unknown as IteratorWithHelpers<string>
      return names
        .map((value) => [value, user.get()])
        .take(3)
        .toArray()
    })

    expect(seen).toEqual([
      ['ada', 'ada'],
      ['own', 'ada'],
      ['own', 'ada'],
    ])
  })

  it('works through spread, destructuring and Array.from', () => {
    const three = isolateGenerator(function* () {
      for (const name of ['a', 'b', 'c']) {
        user.set(name)
        yield user.get()
      }
    })

    const seen = runInScope(() => {
      const [first, second] = three()
      return [[...three()], Array.from(three()), first, second, user.get()]
    })

    expect(seen).toEqual([['a', 'b', 'c'], ['a', 'b', 'c'], 'a', 'b', 'guest'])
  })

  it('passes what it sees to the tasks, snapshots, blocks and units of its body', async () => {
    const readings: Promise<unknown>[] = []
    const generator = isolateGenerator(function* () {
      user.set('own')
      readings.push(spawn(() => [user.get(), tenant.get()]).result())
      const snapshot = current()
      yield [snapshot.get(user), snapshot.get(tenant)]
      yield tenant.run('block’s', () => [user.get(), tenant.get()])
      yield runInScope(() => [user.get(), tenant.get()])
    })

    const seen = runInScope(() => {
      tenant.set('acme')
      return [...generator()]
    })

    expect(seen).toEqual([
      ['own', 'acme'],
      ['own', 'block’s'],
      ['guest', undefined],
    ])
    expect(await Promise.all(readings)).toEqual([['own', 'acme']])
  })

  it('has the values of its driver and its own in its snapshots, of variables made before and after', () => {
    const own = new ContextVar<string>('own')
    const after = new ContextVar<string>('after')

    const seen = runInScope(() => {
      user.set('ada')
      after.set('after')
      const generator = isolateGenerator(function* () {
        own.set('own')
        yield current()
      })()
      const context = generator.next().value as LogicalContext
      return [context.get(user), context.get(own), context.get(after)]
    })

    expect(seen).toEqual(['ada', 'own', 'after'])
  })

  it('keeps what the body has set to the variable’s own rules', async () => {
    const dropped = new ContextVar<string>('dropped', { onSpawn: 'drop' })
    const generator = isolateGenerator(function* () {
      dropped.set('in the body')
      yield spawn(() => dropped.get())
    })()

    const task = runInScope(() => generator.next().value)

    expect(await task?.result()).toBe(undefined)
  })

  it('keeps survivors readable in what its body has left behind', () => {
    const lateReads: (() => unknown)[] = []
    const leaveBehind = isolateGenerator(function* () {
      user.set('own')
      lateReads.push(bind(() => [trail.get(), user.get()]))
      yield 1
    })

    runInScope(
      () => {
        trail.set('trail-1')
        user.set('ada')
        leaveBehind().next()
      },
      { onLateUse: () => {} },
    )

    expect(lateReads.map((read) => read())).toEqual([['trail-1', 'guest']])
  })

  it('drops what was derived from the values of an earlier driver', () => {
    const memos: unknown[] = []
    const generator = isolateGenerator(function* () {
      for (;;) {
        const cell = storage.getStore()?.base
        memos.push(cell?.memo)
        if (cell !== undefined) cell.memo = `derived from ${user.get()}`
        yield
      }
    })()

    generator.next()
    user.run('ada', () => generator.next())

    expect(memos).toEqual([undefined, undefined])
  })

  it('may be wrapped twice: a layer above a layer', () => {
    const twice = isolateGenerator(announce)

    const seen = runInScope(() => {
      user.set('ada')
      const generator = twice('own')
      return [generator.next().value, generator.next().value, user.get()]
    })

    expect(seen).toEqual(['ada', 'own', 'ada'])
  })

  it('leaves other libraries’ contexts to the driver', () => {
    const other = new AsyncLocalStorage<string>()
    const generator = isolateGenerator(function* () {
      for (;;) yield other.getStore()
    })()

    expect([other.run('a', () => generator.next().value), other.run('b', () => generator.next().value)]).toEqual([
      'a',
      'b',
    ])
  })

  it('takes iterators that lack return and throw', () => {
    const numbers = isolateGenerator(() => [1, 2, 3].values() as unknown as Generator<number>)

    const taken = []
    for (const number of numbers()) {
      taken.push(number)
      if (number === 2) break
    }

    expect(taken).toEqual([1, 2])
  })

  it.each([undefined, 'text', {}])('refuses %s', (value) => {
    expect(() => isolateGenerator(value as never)).toThrow(/^isolateGenerator: expected a generator function, got /)
  })

  it.each([7, undefined, null])('refuses a function that makes no generator but %s, when that is called', (value) => {
    const wrapped = isolateGenerator((() => value) as never)

    expect(wrapped).toThrow(`isolateGenerator: expected a generator function, got one that returns ${value}`)
  })
})

describe('isolateGenerator of an async generator', () => {
  it('keeps its layer over awaits, and sees what the driver sets meanwhile', async () => {
    const gate = Promise.withResolvers<void>()
    const generator = isolateGenerator(async function* () {
      user.set('own')
      await gate.promise
      yield [user.get(), tenant.get()]
    })

    const seen = await runInScope(async () => {
      user.set('ada')
      const step = generator().next()
      tenant.set('acme')
      gate.resolve()
      return [(await step).value, user.get()]
    })

    expect(seen).toEqual([['own', 'acme'], 'ada'])
  })

  it('starts its body at once, as the engine does', async () => {
    const log: string[] = []
    const generator = isolateGenerator(async function* () {
      log.push('body')
      yield 1
    })()

    const step = generator.next()
    log.push('after next()')
    await step

    expect(log).toEqual(['body', 'after next()'])
  })

  it('starts each step at once where none is under way', async () => {
    const log: string[] = []
    const generator = isolateGenerator(async function* () {
      for (;;) {
        log.push('body')
        yield 1
      }
    })()
    await generator.next()
    await generator.next()

    void generator.next()
    log.push('after next()')

    expect(log).toEqual(['body', 'body', 'body', 'after next()'])
  })

  it('answers steps that are requested at once in their order', async () => {
    const generator = isolateGenerator(async function* () {
      for (let i = 1; i <= 3; i++) {
        await Promise.resolve()
        yield i
      }
    })()

    const answers = await Promise.all([generator.next(), generator.next(), generator.return(), generator.next()])

    expect(answers).toEqual([
      { done: false, value: 1 },
      { done: false, value: 2 },
      { done: true, value: undefined },
      { done: true, value: undefined },
    ])
  })

  it('runs each step with the values of the unit that requested it, if two request at once', async () => {
    const gate = Promise.withResolvers<void>()
    const generator = isolateGenerator(async function* () {
      for (;;) {
        await gate.promise
        yield user.get()
      }
    })()
    const ask = (name: string) =>
      runInScope(async () => {
        user.set(name)
        return (await generator.next()).value
      })

    const answers = [ask('ada'), ask('grace'), ask('barbara')]
    gate.resolve()

    expect(await Promise.all(answers)).toEqual(['ada', 'grace', 'barbara'])
  })

  it('runs a step that is requested between two others after both', async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const generator = isolateGenerator(async function* () {
      for (const gate of gates) {
        await gate.promise
        yield user.get()
      }
    })()
    const ask = (name: string) =>
      runInScope(async () => {
        user.set(name)
        return (await generator.next()).value
      })

    const answers = [ask('ada'), ask('grace')]
    gates[0]?.resolve()
    await answers[0]
    answers.push(ask('barbara'))
    await Promise.resolve()
    gates[1]?.resolve()
    gates[2]?.resolve()

    expect(await Promise.all(answers)).toEqual(['ada', 'grace', 'barbara'])
  })

  it('goes on for the next after a step that has failed', async () => {
    const generator = isolateGenerator(async function* () {
      yield user.get()
      throw new Error('in the body')
    })()

    const answers = await Promise.allSettled([generator.next(), generator.next(), generator.next()])

    expect(answers).toEqual([
      { status: 'fulfilled', value: { done: false, value: 'guest' } },
      { status: 'rejected', reason: new Error('in the body') },
      { status: 'fulfilled', value: { done: true, value: undefined } },
    ])
  })

  it('runs the finally of its body in its layer when a for-await loop breaks', async () => {
    const log: unknown[] = []
    const numbers = isolateGenerator(async function* () {
      try {
        user.set('own')
        yield 1
      } finally {
        await Promise.resolve()
        log.push(user.get())
      }
    })

    await runInScope(async () => {
      user.set('ada')
      for await (const _ of numbers()) break
      log.push(user.get())
    })

    expect(log).toEqual(['own', 'ada'])
  })

  // Node 22 has no disposal of async generators.
  it.skipIf(!isAsyncDisposable(noNumbers()))('is closed by await using, in its layer', async () => {
    const log: unknown[] = []
    const numbers = isolateGenerator(async function* () {
      try {
        user.set('own')
        yield 1
      } finally {
        log.push(user.get())
      }
    })

    {
      await using generator = numbers()
      await generator.next()
    }

    expect(log).toEqual(['own'])
  })

  it('delegates with yield*, also to a sync generator', async () => {
    const outer = isolateGenerator(async function* () {
      yield* announce('inner’s')
    })

    const seen = await runInScope(async () => {
      user.set('ada')
      const generator = outer()
      return [(await generator.next()).value, (await generator.next()).value, user.get()]
    })

    expect(seen).toEqual(['ada', 'inner’s', 'ada'])
  })

  it('feeds a stream in its own layer', async () => {
    const source = isolateGenerator(async function* () {
      for (const name of ['a', 'b']) {
        user.set(name)
        await Promise.resolve()
        yield `${user.get()} of ${tenant.get()}`
      }
    })

    const chunks = await runInScope(async () => {
      tenant.set('acme')
      return Readable.from(source()).toArray()
    })

    expect(chunks).toEqual(['a of acme', 'b of acme'])
  })

  it('rejects only the promise of the step that failed', async () => {
    const error = new Error('in the body')
    const generator = isolateGenerator(async function* () {
      yield Promise.reject(error)
    })()

    await expect(generator.next()).rejects.toBe(error)
  })

  it('does not end the body’s values with a unit that only requested before', async () => {
    const gate = Promise.withResolvers<void>()
    const generator = isolateGenerator(async function* () {
      yield 'ready'
      user.set('own')
      await gate.promise
      yield [user.get(), tenant.get()]
    })()

    await runInScope(() => generator.next())
    const step = runInScope(async () => {
      tenant.set('acme')
      return (await generator.next()).value
    })
    gate.resolve()

    expect(await step).toEqual(['own', 'acme'])
  })

  it('allows a body to start its next step itself', async () => {
    const steps: Promise<unknown>[] = []
    const generator: AsyncGenerator<number> = isolateGenerator(async function* () {
      user.set('own')
      steps.push(generator.next())
      yield 1
      yield 2
    })()

    const first = await runInScope(() => generator.next(), { group: new TaskGroup() })

    expect([first, ...(await Promise.all(steps))]).toEqual([
      { done: false, value: 1 },
      { done: false, value: 2 },
    ])
  })

  it.each<[name: string, drive: <R>(fn: () => R) => R]>([
    ['in a unit', (fn) => runInScope(fn)],
    ['outside any unit', (fn) => fn()],
  ])('lets a body start its next step itself out of a combinator, %s', async (_, drive) => {
    const steps: Promise<unknown>[] = []
    const generator: AsyncGenerator = isolateGenerator(async function* () {
      user.set('own')
      steps.push(shield(() => generator.next()))
      yield 1
      yield [user.get(), tenant.get()]
    })()

    await drive(() => generator.next())

    expect(await Promise.all(steps)).toEqual([{ done: false, value: ['own', undefined] }])
  })
})

async function* noNumbers(): AsyncGenerator<number> {}

function isAsyncDisposable(value: object): boolean {
  return Symbol.asyncDispose in value
}

describe('a generator that two units drive', () => {
  /** Runs `drive` for two users at the same time, in a unit each. */
  const both = <R>(drive: (name: string) => R | Promise<R>) =>
    Promise.all(
      ['ada', 'grace'].map((name) =>
        runInScope(async () => {
          user.set(name)
          return drive(name)
        }),
      ),
    )

  it('leaves the pending work of each step to the driver of that step', async () => {
    const gate = Promise.withResolvers<void>()
    const generator = isolateGenerator(function* () {
      for (;;) yield gate.promise.then(() => [user.get(), currentSignal(), current().get(user)])
    })()

    const seen = both(async () => [await generator.next().value, [user.get(), currentSignal(), user.get()]])
    gate.resolve()

    for (const [inStep, inDriver] of await seen) expect(inStep).toEqual(inDriver)
  })

  it('leaves it there when the driver’s unit has ended, and another unit goes on', async () => {
    const gate = Promise.withResolvers<void>()
    const quiet = { onLateUse: () => {} }
    const generator = isolateGenerator(function* () {
      user.set('own')
      for (;;) yield gate.promise.then(() => [tenant.get(), trail.get(), user.get()])
    })()
    const drive = (name: string) => {
      tenant.set(`${name}’s tenant`)
      trail.set(`${name}’s trail`)
      return generator.next().value as Promise<unknown>
    }
    const ended = Promise.withResolvers<void>()

    const steps: Promise<unknown>[] = []
    runInScope(() => void steps.push(drive('ada')), quiet)
    const open = runInScope(async () => {
      steps.push(drive('grace'))
      await ended.promise
    }, quiet)
    gate.resolve()
    const seen = await Promise.all(steps)
    ended.resolve()
    await open

    expect(seen).toEqual([
      [undefined, 'ada’s trail', 'guest'],
      ['grace’s tenant', 'grace’s trail', 'guest'],
    ])
  })

  it('keeps its own values as long as one of the units runs, whichever sets them', async () => {
    const generator = announce('own')
    const first = Promise.withResolvers<void>()

    const seen = await runInScope(async () => {
      user.set('ada')
      const steps = [generator.next().value]
      runInScope(() => {
        user.set('grace')
        steps.push(generator.next().value)
      })
      steps.push(generator.next().value)
      first.resolve()
      return steps
    })

    expect(seen).toEqual(['ada', 'own', 'own'])
  })

  it('drops its own values when the last of the units has ended', () => {
    const generator = announce('own')
    runInScope(() => [generator.next(), generator.next()])

    const seen = runInScope(() => {
      user.set('grace')
      return generator.next().value
    })

    expect(seen).toBe('grace')
  })

  it('keeps what it has set outside any unit', () => {
    const generator = announce('own')
    generator.next()
    generator.next()

    const seen = runInScope(() => [generator.next().value, user.get()])

    expect([seen, generator.next().value]).toEqual([['own', 'guest'], 'own'])
  })

  it('writes from pending work into its layer: later steps see it, no driver does', async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const generator = isolateGenerator(function* () {
      for (const gate of gates) {
        yield gate.promise.then(() => {
          const before = tenant.get()
          tenant.set('own')
          return before
        })
      }
    })()

    const pending = both((name) => {
      tenant.set(name)
      const step = generator.next().value as Promise<unknown>
      return step.then((seen) => [seen, tenant.get()])
    })
    for (const gate of gates) gate.resolve()

    expect(await pending).toEqual([
      ['ada', 'ada'],
      ['own', 'grace'],
    ])
  })

  it('refuses a write of pending work whose driver’s unit has ended', async () => {
    const gate = Promise.withResolvers<void>()
    const generator = isolateGenerator(function* () {
      for (;;) yield gate.promise.then(() => tenant.set('late'))
    })()

    const [step] = runInScope(() => [generator.next().value], { lateWrites: 'throw' })
    gate.resolve()

    await expect(step).rejects.toMatchObject({ code: 'LCTX_LATE_WRITE' })
  })

  it.each(['return', 'throw'] as const)(
    'leaves what its finally starts to the driver that calls %s',
    async (method) => {
      const gate = Promise.withResolvers<void>()
      const pending: Promise<unknown>[] = []
      const look = () => gate.promise.then(() => pendingUser())
      const pendingUser = () => user.get()
      const generator: Generator<unknown, unknown> = isolateGenerator(function* () {
        try {
          for (;;) yield pending.push(look())
        } catch {
          // Thrown in by the second driver.
        } finally {
          pending.push(look())
        }
      })()

      const seen = both((name) => {
        if (name === 'ada') generator.next()
        else generator[method]('thrown in')
        return gate.promise
      })
      gate.resolve()
      await seen

      expect(await Promise.all(pending)).toEqual(['ada', 'grace'])
    },
  )

  it('hands the driver through yield*, to a wrapped generator and to a plain one', async () => {
    const gate = Promise.withResolvers<void>()
    const look = () => gate.promise.then(() => user.get())
    const plain = function* () {
      for (;;) yield look()
    }
    const generators = [plain, isolateGenerator(plain)].map((inner) =>
      isolateGenerator(function* () {
        yield* inner()
      })(),
    )

    const seen = both(() => Promise.all(generators.map((generator) => generator.next().value as Promise<string>)))
    gate.resolve()

    expect(await seen).toEqual([
      ['ada', 'ada'],
      ['grace', 'grace'],
    ])
  })

  it('starts its tasks in the unit that drives the step, with the values of that unit', async () => {
    const gate = Promise.withResolvers<void>()
    const generator = isolateGenerator(function* () {
      for (;;) {
        yield spawn(async () => {
          await gate.promise
          return user.get()
        }).result()
      }
    })()

    const seen = both(() => generator.next().value)
    gate.resolve()

    expect(await seen).toEqual(['ada', 'grace'])
  })

  it('leaves work that an async body does not await to the driver of that step', async () => {
    const gate = Promise.withResolvers<void>()
    const generator = isolateGenerator(async function* () {
      for (;;) {
        await Promise.resolve()
        // An async generator would await the promise itself.
        yield [gate.promise.then(() => user.get())]
      }
    })()

    const seen = both(async () => {
      const { value } = await generator.next()
      return value?.[0]
    })
    gate.resolve()

    expect(await seen).toEqual(['ada', 'grace'])
  })

  it('binds a callback of its body to the driver of that step', () => {
    const generator = isolateGenerator(function* () {
      for (;;) yield bind(() => user.get())
    })()
    const drive = (name: string, during: () => unknown) =>
      runInScope(() => {
        user.set(name)
        const bound = generator.next().value
        return [bound(), during(), bound()]
      })

    expect(drive('ada', () => drive('grace', () => 'inside'))).toEqual(['ada', ['grace', 'inside', 'grace'], 'ada'])
  })

  it('restores after an override that another unit ends', () => {
    const generator = isolateGenerator(function* () {
      tenant.set('own')
      {
        using _ = tenant.override('override')
        yield tenant.get()
      }
      yield tenant.get()
    })()

    const seen = runInScope(() => [generator.next().value, runInScope(() => generator.next().value), tenant.get()])

    expect(seen).toEqual(['override', 'own', undefined])
  })

  it('does not grow with the steps that its body requests', async () => {
    const last = Promise.withResolvers<string>()
    const generator: AsyncGenerator<void> = isolateGenerator(async function* () {
      for (let i = 0; i < 20_000; i++) {
        // The body requests its own next step, in the context of this one.
        void generator.next()
        yield
      }
      last.resolve(user.get())
    })()

    const seen = await runInScope(() => {
      user.set('ada')
      void generator.next()
      return last.promise
    })

    expect(seen).toBe('ada')
  })
})
