import { ContextVar, current, isolateGenerator, type Policy, runInScope, spawn } from 'logical-context'
import { describe, expect, it } from 'vitest'

// The examples by which PEP 550 and its discussion explain what a context is to do.

describe('the example of the discussion on awaited calls and timeouts', () => {
  const variable = new ContextVar<number>('var')

  async function bar(): Promise<void> {
    await Promise.resolve()
    variable.set(42)
  }

  it('gives 42 after an awaited call', async () => {
    const seen = await runInScope(async () => {
      variable.set(1)
      await bar()
      return variable.get()
    })

    expect(seen).toBe(42)
  })

  it('gives 42 after the same call under a timeout, where asyncio’s wait_for() gave 1', async () => {
    const seen = await runInScope(async () => {
      variable.set(1)
      await withinAMinute(bar())
      return variable.get()
    })

    expect(seen).toBe(42)
  })

  it.each<[name: string, policy: Policy, after: number]>([
    ['inherit', 'inherit', 1],
    ['isolate', 'isolate', 1],
    ['only', { only: [variable] }, 1],
    ['share', 'share', 42],
  ])('gives by the policy after the same call is spawned and waited for: %s', async (_, policy, after) => {
    const seen = await runInScope(async () => {
      variable.set(1)
      await spawn(bar, { policy }).result()
      return variable.get()
    })

    expect(seen).toBe(after)
  })

  async function withinAMinute<R>(work: Promise<R>): Promise<R> {
    const limit = Promise.withResolvers<never>()
    const timer = setTimeout(() => limit.reject(new Error('too slow')), 60_000)
    try {
      return await Promise.race([work, limit.promise])
    } finally {
      clearTimeout(timer)
    }
  }
})

describe('the examples of PEP 550', () => {
  const variable = new ContextVar<string>('var')

  it('“Regular Single-threaded Code”: a variable behaves as a global one does', () => {
    const sub = () => {
      const seen = variable.get()
      variable.set('sub')
      return seen
    }

    const seen = runInScope(() => {
      variable.set('main')
      return [sub(), variable.get()]
    })

    expect(seen).toEqual(['main', 'sub'])
  })

  it('“Multithreaded Code”: what is separate starts with nothing, and changes nothing: isolate', async () => {
    const sub = () => {
      const seen = variable.get()
      variable.set('sub')
      return seen
    }

    const seen = await runInScope(async () => {
      variable.set('main')
      return [await spawn(sub, { policy: 'isolate' }).result(), variable.get()]
    })

    expect(seen).toEqual([undefined, 'main'])
  })

  it('“Generators”: a change in the body is not seen by the caller, one of the caller is seen in the body', () => {
    const seen: unknown[] = []
    const gen = isolateGenerator(function* () {
      variable.set('gen')
      seen.push(variable.get())
      yield 1
      seen.push(variable.get())
      yield 2
    })

    runInScope(() => {
      const g = gen()
      variable.set('main')
      g.next()
      seen.push(variable.get())
      variable.set('main modified')
      g.next()
      seen.push(variable.get())
    })

    expect(seen).toEqual(['gen', 'main', 'gen', 'main modified'])
  })

  it('“Generators”: a generator sees changes of its caller until it makes its own', () => {
    const [var1, var2] = [new ContextVar<string>('var1'), new ContextVar<string>('var2')]
    const seen: unknown[] = []
    const gen = isolateGenerator(function* () {
      var1.set('gen')
      seen.push(var1.get(), var2.get())
      yield 1
      seen.push(var1.get(), var2.get())
      yield 2
    })

    runInScope(() => {
      const g = gen()
      var1.set('main')
      var2.set('main')
      g.next()
      var1.set('main modified')
      var2.set('main modified')
      g.next()
    })

    expect(seen).toEqual(['gen', 'main', 'gen', 'main modified'])
  })

  it('“Generators”: next() called from different contexts sees each of them', () => {
    const gen = isolateGenerator(function* () {
      for (;;) yield variable.get()
    })

    const g = gen()
    const seen = ['first', 'second'].map((name) => variable.run(name, () => g.next().value))

    expect(seen).toEqual(['first', 'second'])
  })

  it('“Coroutines and Asynchronous Tasks”: an awaited coroutine shares, a task gets a copy', async () => {
    const seen: unknown[] = []
    const sub = async () => {
      await Promise.resolve()
      seen.push(variable.get())
      variable.set('sub')
    }

    await runInScope(async () => {
      variable.set('main')
      await sub()
      seen.push(variable.get())
      variable.set('main modified')
      await spawn(sub).result()
      seen.push(variable.get())
    })

    expect(seen).toEqual(['main', 'sub', 'main modified', 'main modified'])
  })

  it('“Coroutines and Asynchronous Tasks”: a task does not see what its parent changes after the spawn', async () => {
    const changed = Promise.withResolvers<void>()
    const sub = async () => {
      await changed.promise
      const seen = variable.get()
      variable.set('sub')
      return seen
    }

    const seen = await runInScope(async () => {
      variable.set('main')
      const task = spawn(sub)
      variable.set('main changed')
      changed.resolve()
      return [await task.result(), variable.get()]
    })

    expect(seen).toEqual(['main', 'main changed'])
  })

  it('“contextlib.contextmanager”: a plain generator is the way to set something for the code around its yield', () => {
    const manager = function* (value: string) {
      const before = variable.override(value)
      yield
      before[Symbol.dispose]()
    }

    const seen = runInScope(() => {
      variable.set('main')
      const within = manager('in the with block')
      within.next()
      const inside = variable.get()
      within.next()
      return [inside, variable.get()]
    })

    expect(seen).toEqual(['in the with block', 'main'])
  })

  it('“Coroutines not leaking context changes by default”, rejected: what __aenter__ sets is seen by the block', async () => {
    const enter = async () => {
      await Promise.resolve()
      return variable.override('entered')
    }

    const seen = await runInScope(async () => {
      variable.set('main')
      const inside = []
      {
        using _ = await enter()
        inside.push(variable.get())
      }
      return [...inside, variable.get()]
    })

    expect(seen).toEqual(['entered', 'main'])
  })

  it('“Enumerating context vars”: a context shows which variables are set in it', () => {
    const other = new ContextVar<string>('other')

    const shown = runInScope(() => {
      other.set('set')
      return [String(variable.run('set', current)), String(current())]
    })

    expect(shown).toEqual(['LogicalContext(var, other)', 'LogicalContext(other)'])
  })

  it('“Should yield from leak context changes?”: no, as next() does not', () => {
    const inner = isolateGenerator(function* () {
      variable.set('inner')
      yield variable.get()
    })
    const outer = isolateGenerator(function* () {
      variable.set('outer')
      yield* inner()
      yield variable.get()
    })

    expect(runInScope(() => [...outer(), variable.get()])).toEqual(['inner', 'outer', undefined])
  })

  it('“Setting and restoring context variables”: delete() in a generator hides the outer value; giving back does not', () => {
    const gen = isolateGenerator(function* () {
      const before = variable.override('gen')
      yield variable.get()
      before[Symbol.dispose]()
      yield variable.get()
      variable.delete()
      yield variable.get()
    })

    const seen = runInScope(() => {
      variable.set('main')
      return [...gen(), variable.get()]
    })

    // In the PEP delete() only removes the layer's own value; here that is what giving an override back does, and
    // delete() is a write as any other, which the layer holds.
    expect(seen).toEqual(['gen', 'main', undefined, 'main'])
  })

  it('“Asynchronous Generators”: behave as generators do', async () => {
    const seen: unknown[] = []
    const gen = isolateGenerator(async function* () {
      variable.set('gen')
      await Promise.resolve()
      seen.push(variable.get())
      yield 1
    })

    await runInScope(async () => {
      variable.set('main')
      for await (const _ of gen()) seen.push(variable.get())
    })

    expect(seen).toEqual(['gen', 'main'])
  })

  it('“Rationale”: two tasks with one decimal context each do not disturb each other', async () => {
    const precision = new ContextVar<number, number>('precision', { default: 28 })
    const fractions = isolateGenerator(function* (digits: number, x: number, y: number) {
      precision.set(digits)
      yield (x / y).toPrecision(precision.get())
      yield (x / y ** 2).toPrecision(precision.get())
    })

    const seen = runInScope(() => {
      const [g1, g2] = [fractions(2, 1, 3), fractions(6, 2, 3)]
      return [g1.next().value, g2.next().value, g1.next().value, g2.next().value, precision.get()]
    })

    expect(seen).toEqual(['0.33', '0.666667', '0.11', '0.222222', 28])
  })
})
