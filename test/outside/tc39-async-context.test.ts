// The behaviours of TC39's AsyncContext proposal (stage 2, 2026), each with its section of the README, the
// specification text or the web integration document. `AsyncContext.Variable` is a ContextVar, `Snapshot` is current()
// and run(), `Snapshot.wrap` is bind(). Where ours differs, the title says how and the comment why.
import {
  bind,
  type ContextVar as Variable,
  ContextVar,
  current,
  isolateGenerator,
  LogicalContext,
  run,
  runInScope,
  spawn,
} from 'logical-context'
import { describe, expect, it } from 'vitest'
import { isCollected } from '../flow/memory.ts'

const read = <T, D>(variable: Variable<T, D>) => variable.get()

describe('AsyncContext.Variable', () => {
  it('README, “AsyncContext.Variable”: has a name and a default value', () => {
    const variable = new ContextVar<string, string>('asyncVar', { default: 'default' })

    expect([variable.name, variable.get()]).toEqual(['asyncVar', 'default'])
  })

  it('README: run sets the value for the function, passes arguments and the result, and ends with it', () => {
    const variable = new ContextVar<string>('var')

    const seen = variable.run('top', (...args: number[]) => [variable.get(), ...args], 1, 2)

    expect([seen, variable.get()]).toEqual([['top', 1, 2], undefined])
  })

  it('README: nested runs shadow, also for what was scheduled in them', async () => {
    const variable = new ContextVar<string>('var')
    const seen: unknown[] = []
    const main = async () => {
      setTimeout(() => seen.push(['timer', variable.get()]), 0)
      await variable.run('A', async () => {
        seen.push(['sync', variable.get()])
        await new Promise((resolve) => setTimeout(resolve, 1))
        seen.push(['after an await', variable.get()])
      })
      seen.push(['outer', variable.get()])
    }

    await variable.run('top', main)

    expect(seen).toEqual([
      ['sync', 'A'],
      ['timer', 'top'],
      ['after an await', 'A'],
      ['outer', 'top'],
    ])
  })

  it('spec, AsyncContext.Variable.prototype.run: ends with an exception too', () => {
    const variable = new ContextVar<string>('var')
    const fails = (): void => {
      throw new Error('inside')
    }

    expect(() => variable.run('A', fails)).toThrow('inside')
    expect(variable.get()).toBe(undefined)
  })

  it('spec: a variable that is run with undefined has a value, which hides the default', () => {
    const variable = new ContextVar<string | undefined, string>('var', { default: 'default' })

    expect(variable.run(undefined, () => [variable.get(), variable.has()])).toEqual([undefined, true])
  })

  // There is no set in the proposal (MUTATION-SCOPE.md discusses one); ours writes for the rest of the unit, as
  // PEP 550 has it, and run() makes a scope that it does not leave.
  it('MUTATION-SCOPE.md: differs, there is a set, which the function’s caller sees and a run’s caller does not', () => {
    const variable = new ContextVar<string>('var')

    const seen = runInScope(() => {
      const set = (value: string) => variable.set(value)
      set('of the function')
      const before = variable.get()
      variable.run('of the run', set, 'in the run')
      return [before, variable.get()]
    })

    expect(seen).toEqual(['of the function', 'of the function'])
  })
})

describe('AsyncContext.Snapshot', () => {
  it('README, “AsyncContext.Snapshot”: run restores all variables as they were', () => {
    const [a, b] = [new ContextVar<string>('a'), new ContextVar<string>('b')]

    const snapshot = a.run('A', () => b.run('B', () => current()))
    const seen = a.run('other', () => run(snapshot, () => [a.get(), b.get()]))

    expect([seen, a.get(), b.get()]).toEqual([['A', 'B'], undefined, undefined])
  })

  it('README: a snapshot of nothing hides what is around where it is run', () => {
    const variable = new ContextVar<string>('var')
    const snapshot = current()

    expect([snapshot, variable.run('A', () => run(snapshot, read, variable))]).toEqual([
      LogicalContext.empty,
      undefined,
    ])
  })

  it('README, “Snapshot.wrap”: a wrapped function runs where it was wrapped, also if other code calls it, with receiver and arguments', () => {
    const variable = new ContextVar<string>('var')
    const wrapped = variable.run('A', () =>
      bind(function (this: unknown, ...args: unknown[]) {
        return [variable.get(), this, ...args]
      }),
    )

    expect(variable.run('B', () => wrapped.call('receiver', 1, 2))).toEqual(['A', 'receiver', 1, 2])
  })

  it('tests/async-context.test.ts, “wrap out of order”: wrapped functions keep apart', () => {
    const variable = new ContextVar<string>('var')
    const [first, second] = ['first', 'second'].map((value) => variable.run(value, () => bind(() => variable.get())))

    expect([first?.(), second?.(), first?.(), second?.()]).toEqual(['first', 'second', 'first', 'second'])
  })

  // Nothing can change what a snapshot's variables are there. Here a unit can set, and a bound callback is part of it.
  it('differs: what is bound sees what its unit sets later; a snapshot does not', () => {
    const variable = new ContextVar<string>('var')

    const seen = runInScope(() => {
      variable.set('then')
      const [bound, snapshot] = [bind(() => variable.get()), current()]
      variable.set('later')
      return [bound(), run(snapshot, read, variable)]
    })

    expect(seen).toEqual(['later', 'then'])
  })
})

describe('promises and async functions', () => {
  it('spec, PerformPromiseThen: a reaction runs in the context in which then was called', async () => {
    const variable = new ContextVar<string>('var')
    const { promise, resolve } = Promise.withResolvers<void>()

    const seen = ['A', 'B'].map((value) => variable.run(value, () => promise.then(() => variable.get())))
    variable.run('resolver', () => resolve())

    expect(await Promise.all(seen)).toEqual(['A', 'B'])
  })

  it('spec, NewPromiseResolveThenableJob: a thenable’s then runs in the context that has resolved with it', async () => {
    const variable = new ContextVar<string>('var')
    const thenable = { then: (resolve: (value: unknown) => void) => resolve(variable.get()) }

    const seen = await Promise.all([
      variable.run('resolve', () => Promise.resolve(thenable)),
      variable.run('await', async () => await (thenable as unknown as Promise<unknown>)),
      variable.run('return', async () => thenable as unknown),
    ])

    expect(seen).toEqual(['resolve', 'await', 'return'])
  })

  it('spec, Await: an async function continues in its own context, also if other code resolves what it awaits', async () => {
    const variable = new ContextVar<string>('var')
    const { promise, resolve } = Promise.withResolvers<void>()

    const seen = variable.run('A', async () => {
      await promise
      return variable.get()
    })
    variable.run('resolver', () => resolve())

    expect(await seen).toBe('A')
  })

  it('README: a caller that awaits is not touched by the blocks of what it awaits', async () => {
    const variable = new ContextVar<string>('var')
    const callee = () => variable.run('callee', async () => await Promise.resolve(variable.get()))

    const seen = await variable.run('caller', async () => [await callee(), variable.get()])

    expect(seen).toEqual(['callee', 'caller'])
  })

  it('spec, HostMakeJobCallback: microtasks, timers and immediates run where they were scheduled', async () => {
    const variable = new ContextVar<string>('var')
    const ways: ((fn: () => void) => void)[] = [queueMicrotask, setTimeout, setImmediate, process.nextTick]

    const seen = ways.map((schedule, index) =>
      variable.run(`way ${index}`, () => new Promise((resolve) => schedule(() => resolve(variable.get())))),
    )

    expect(await Promise.all(seen)).toEqual(['way 0', 'way 1', 'way 2', 'way 3'])
  })
})

describe('generators', () => {
  // There a generator's body always runs in the context in which it was made. Ours follow PEP 550: a body sees the
  // values of the code that drives it, and the writes of a wrapped one are never visible outside.
  it.each([
    ['plain', false],
    ['isolated', true],
  ])('spec, GeneratorStart: differs, a generator sees the values of the code that calls next(): %s', (_, isolated) => {
    const variable = new ContextVar<string>('var')
    const plain = function* () {
      for (;;) yield variable.get()
    }
    const make = isolated ? isolateGenerator(plain) : plain

    const generator = variable.run('made', () => make())
    const seen = ['A', 'B'].map((value) => variable.run(value, () => generator.next().value))

    expect(seen).toEqual(['A', 'B'])
  })

  it('spec, AsyncGeneratorStart: the body of an async generator keeps its context over its own awaits', async () => {
    const variable = new ContextVar<string>('var')
    const generator = (async function* () {
      await Promise.resolve()
      yield variable.get()
    })()

    const step = variable.run('A', () => generator.next())
    const { value } = await variable.run('B', () => step)

    expect(value).toBe('A')
  })
})

describe('what the host calls', () => {
  // The proposal runs it in the context in which the registry was made; Node 22 to 26 call it in none. Bound, it is right.
  it('spec, CleanupFinalizationRegistry: a bound callback runs where it was bound', async () => {
    const variable = new ContextVar<string>('var')
    const called = Promise.withResolvers<unknown>()
    const registry = variable.run('made', () => new FinalizationRegistry(bind(() => called.resolve(variable.get()))))

    const target = () => {
      const object = {}
      registry.register(object, undefined)
      return new WeakRef(object)
    }
    await isCollected(target())

    expect(await called.promise).toBe('made')
  })

  it('WEB-INTEGRATION.md, events: a listener runs in the dispatcher’s context, and where it was bound if it is bound', () => {
    const variable = new ContextVar<string>('var')
    const [seen, target] = [[] as unknown[], new EventTarget()]

    variable.run('registered', () => {
      target.addEventListener('event', () => seen.push(variable.get()))
      target.addEventListener(
        'event',
        bind(() => seen.push(variable.get())),
      )
    })
    variable.run('dispatched', () => target.dispatchEvent(new Event('event')))

    expect(seen).toEqual(['dispatched', 'registered'])
  })

  // In the proposal, `unhandledrejection` has the context of the rejecter. In Node 22 it has not, so our code does not use the
  // ambient context there: `onError` receives the failure of a task in the task's context, and it is never unhandled.
  it('WEB-INTEGRATION.md, unhandledrejection: differs, a task’s failure is reported in its own context', async () => {
    const variable = new ContextVar<string>('var')

    const told = await runInScope(async () => {
      const { promise, resolve } = Promise.withResolvers<unknown>()
      const fails = async () => {
        variable.set('task')
        await Promise.reject(new Error('inside'))
      }
      spawn(fails, { onError: (error) => resolve([String(error), variable.get()]) })
      return promise
    })

    expect(told).toEqual(['Error: inside', 'task'])
  })
})
