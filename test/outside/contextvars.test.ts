// What CPython asserts of contextvars in Lib/test/test_context.py (3.15), each behaviour under the name of its test.
// Where ours differs, the title says how and the comment why. Not taken over: what Python's types and its reference
// counts do, and the tests of the HAMT (`values.test.ts` has those of our own structure).
import {
  ContextVar,
  current,
  isolateGenerator,
  LogicalContext,
  run,
  runInScope,
  spawn,
  TaskGroup,
} from 'logical-context'
import { describe, expect, it } from 'vitest'

const empty = LogicalContext.empty

describe('ContextTest of CPython', () => {
  it('test_context_var_new_1: takes a name, a string, which stays', () => {
    const variable = new ContextVar('aaa')

    expect(variable.name).toBe('aaa')
    expect(() => new ContextVar(1 as never)).toThrow(TypeError)
    expect(() => new (ContextVar as new () => unknown)()).toThrow(TypeError)
  })

  it('test_context_var_repr_1: shows the name; ours not the default, which may be sensitive', () => {
    const variable = new ContextVar<number, number>('a', { default: 123 })

    expect(String(variable)).toBe('ContextVar(a)')
  })

  it('test_context_get_context_1: the current context is a value; ours cannot be entered, only run', () => {
    expect(current()).toBeInstanceOf(LogicalContext)
    expect('enter' in current()).toBe(false)
  })

  it('test_context_run_2: run passes arguments and the result through', () => {
    const fn = (...args: unknown[]) => [...args, 'bar']

    expect([run(empty, fn), run(empty, fn, 1)]).toEqual([['bar'], [1, 'bar']])
  })

  it('test_context_run_3: run throws an error unchanged', () => {
    const error = new Error('1/0')
    const fn = (): void => {
      throw error
    }

    expect(() => run(empty, fn)).toThrow(error)
  })

  it('test_context_run_4: a block inside a block sees its own context; what the outer one set is there after it', () => {
    const variable = new ContextVar<string>('var')

    const context = run(empty, () => {
      variable.set('spam')
      expect(run(empty, () => variable.get())).toBe(undefined)
      expect(variable.get()).toBe('spam')
      return current()
    })

    expect([context.has(variable), context.get(variable)]).toEqual([true, 'spam'])
  })

  it('test_context_run_5: what was set before an error does not leave the block either', () => {
    const variable = new ContextVar<string>('var')
    const fails = (): void => {
      variable.set('spam')
      throw new Error('1/0')
    }

    const seen = runInScope(() => {
      expect(() => run(current(), fails)).toThrow('1/0')
      return variable.get()
    })

    expect(seen).toBe(undefined)
  })

  // There the code that runs in a Context changes it. Here a context is a value: a reference to it is a snapshot.
  it('test_context_run_6: differs, a set inside is not seen in the context that is run', () => {
    const variable = new ContextVar<number, number>('a', { default: 0 })

    const seen = run(empty, () => {
      variable.set(42)
      return [variable.get(), empty.has(variable)]
    })

    expect(seen).toEqual([42, false])
  })

  // There it is an error, for the one Context would be written from two places; here each run has a cell of its own.
  it('test_context_run_7: differs, a context may be run inside itself', () => {
    const variable = new ContextVar<string>('var')
    const context = empty.with(variable, 'start')

    const seen = run(context, () => {
      variable.set('outer')
      const inner = run(context, () => [variable.get(), variable.set('inner')][0])
      return [inner, variable.get()]
    })

    expect(seen).toEqual(['start', 'outer'])
  })

  // Without a default get() throws a LookupError there. Here it returns undefined, and has() distinguishes the two.
  it('test_context_getset_1: differs, an unset variable without a default is undefined', () => {
    const variable = new ContextVar<number>('c')

    const seen = runInScope(() => [variable.get(), variable.has(), variable.set(42), variable.get(), variable.has()])

    expect(seen).toEqual([undefined, false, undefined, 42, true])
  })

  it('test_context_getset_1: an override is restored once, and an earlier snapshot keeps its value', () => {
    const variable = new ContextVar<number | string>('c')

    runInScope(() => {
      const first = variable.override(42)
      const second = variable.override('spam')
      second[Symbol.dispose]()
      expect(variable.get()).toBe(42)

      variable.set('spam2')
      // There it is a RuntimeError; a `using` declaration disposes once, so that a second time can only be a mistake.
      second[Symbol.dispose]()
      expect(variable.get()).toBe('spam2')

      const before = current()
      first[Symbol.dispose]()
      expect([variable.has(), current().has(variable)]).toEqual([false, false])
      expect([before.has(variable), before.get(variable)]).toEqual([true, 'spam2'])
      expect([String(before), String(current())]).toEqual(['LogicalContext(c)', 'LogicalContext()'])
    })
  })

  // A token names no variable here: it is a Disposable that belongs to the variable that has made it.
  it('test_context_getset_2: differs, an override cannot be restored for another variable', () => {
    const [first, second] = [new ContextVar<number>('v1'), new ContextVar<number>('v2')]

    runInScope(() => {
      second.set(1)
      first.override(42)[Symbol.dispose]()
      expect([first.has(), second.get()]).toEqual([false, 1])
    })
  })

  it('test_context_getset_3: a default is not a value of a context; a set value is, until it is restored', () => {
    const variable = new ContextVar<number, number>('c', { default: 42 })

    const seen = run(empty, () => {
      const before = [variable.get(), current().has(variable)]
      const override = variable.override(1)
      const between = current().get(variable)
      override[Symbol.dispose]()
      return [before, between, current().has(variable)]
    })

    expect(seen).toEqual([[42, false], 1, false])
  })

  // There a token of another Context is a ValueError. Here an override restores the value where it was made.
  it('test_context_getset_4: differs, an override that is disposed elsewhere restores the value where it was made', async () => {
    const variable = new ContextVar<number, number>('c', { default: 42 })

    const seen = await runInScope(async () => {
      const override = variable.override(1)
      const task = spawn(() => {
        variable.set(2)
        override[Symbol.dispose]()
        return variable.get()
      })
      return [await task.result(), variable.get()]
    })

    expect(seen).toEqual([2, 42])
  })

  it('test_context_getset_5: a value set in a copy replaces the outer one’s in the copy only', () => {
    const variable = new ContextVar<number[]>('c')

    const seen = runInScope(() => {
      variable.set([])
      const inner = run(current(), () => {
        variable.set([])
        variable.get()?.push(42)
        return variable.get()
      })
      return [inner, variable.get()]
    })

    expect(seen).toEqual([[42], []])
  })

  it('test_context_copy_1: a copy keeps what it has when the original goes on, and the other way round', () => {
    const variable = new ContextVar<number, number>('c', { default: 42 })

    runInScope(() => {
      variable.set(10)
      const copy = current()
      variable.set(20)
      const inCopy = run(copy, () => [variable.get(), variable.set(30), variable.get()])

      expect(inCopy).toEqual([10, undefined, 30])
      // There ctx2 is 30 after it was run; see test_context_run_6.
      expect([variable.get(), copy.get(variable)]).toEqual([20, 10])
    })
  })

  it('test_context_threads_1: ten that run at the same time and set one variable do not disturb each other', async () => {
    const variable = new ContextVar<number>('cvar')
    const sub = async (num: number) => {
      for (let i = 0; i < 10; i++) {
        variable.set(num + i)
        await new Promise((resolve) => setImmediate(resolve))
        expect(variable.get()).toBe(num + i)
      }
      return num
    }

    const numbers = Array.from({ length: 10 }, (_, num) => num)
    const results = await Promise.all(numbers.map((num) => runInScope(() => sub(num))))

    expect(results).toEqual(numbers)
  })

  // A Context is a context manager since 3.14. Ours are only run: what enters without a function leaks where the
  // function that entered returns before its end (docs/decisions/why-no-enter.md).
  it('test_context_manager_nested: differs, blocks are functions; their writes end with them just so', () => {
    const variable = new ContextVar<string, string>('cvar', { default: 'default' })
    const seen: string[] = []

    runInScope(() => {
      run(current(), () => {
        variable.set('outer')
        run(current(), () => {
          seen.push(variable.get())
          variable.set('inner')
          seen.push(variable.get())
        })
        seen.push(variable.get())
      })
      seen.push(variable.get())
    })

    expect(seen).toEqual(['outer', 'inner', 'outer', 'default'])
  })

  it('test_context_manager_enter_again_after_exit: differs, a second run starts as the first one did', () => {
    const variable = new ContextVar<string, string>('cvar', { default: 'initial' })

    const seen = runInScope(() => {
      const context = current()
      const update = () => [variable.get(), variable.set('updated')][0]
      return [run(context, update), run(context, update), variable.get()]
    })

    expect(seen).toEqual(['initial', 'initial', 'initial'])
  })
})

describe('GeneratorContextTest of CPython', () => {
  it('test_none_is_dependent: a plain generator sees and writes the values of the code that drives it', () => {
    const variable = new ContextVar<string, string>('cvar', { default: 'initial' })
    const generator = (function* () {
      for (;;) yield variable.get()
    })()

    const seen = runInScope(() => {
      const first = generator.next().value
      variable.set('updated outer')
      const second = generator.next().value
      return [first, second, variable.run('updated inner', () => generator.next().value), generator.next().value]
    })

    expect(seen).toEqual(['initial', 'updated outer', 'updated inner', 'updated outer'])
  })

  // An independent generator has a whole context of its own there; PEP 550's has a layer, and sees its driver through it.
  it('test_dependent_to_independent: differs, an isolated generator keeps what it has set and sees the rest', () => {
    const [own, other] = [new ContextVar<string>('own'), new ContextVar<string>('other')]
    const generator = isolateGenerator(function* () {
      own.set('independent')
      for (;;) yield [own.get(), other.get()]
    })()

    const seen = runInScope(() => {
      own.set('outer')
      const inBlock = other.run('new context', () => own.run('new context', () => generator.next().value))
      return [inBlock, generator.next().value, own.get()]
    })

    expect(seen).toEqual([['independent', 'new context'], ['independent', undefined], 'outer'])
  })

  it('test_generator_calls_generator: a generator that drives another one: each keeps its own value', () => {
    const variable = new ContextVar<string, string>('cvar', { default: 'initial' })
    const make = (name: string, inner?: Generator) =>
      isolateGenerator(function* () {
        variable.set(name)
        for (;;) yield inner === undefined ? variable.get() : [variable.get(), inner.next().value]
      })()
    const inner = make('inner')
    const outer = make('outer', inner)

    const seen = runInScope(() => [1, 2, 3].map(() => [variable.get(), inner.next().value, outer.next().value]))

    expect(seen).toEqual(Array.from({ length: 3 }, () => ['initial', 'inner', ['outer', 'inner']]))
  })
})

describe('AsyncContextTest of CPython', () => {
  it('test_asyncio_independent_contexts: two tasks that wait for each other do not see each other’s changes', async () => {
    const variable = new ContextVar<string, string>('cvar', { default: 'A' })
    const [updated1, updated2] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const group = new TaskGroup()
    const seen: string[] = []

    await runInScope(async () => {
      group.spawn(async () => {
        variable.set('B')
        updated1.resolve()
        await updated2.promise
        seen.push(variable.get())
      })
      group.spawn(async () => {
        await updated1.promise
        seen.push(variable.get())
        variable.set('C')
        updated2.resolve()
      })
      await group.drain()
      seen.push(variable.get())
    })

    expect(seen).toEqual(['A', 'B', 'A'])
  })

  it.each([
    [
      'test_asynccontextmanager_is_dependent_by_default: the end of a plain async generator sees what is set then',
      false,
    ],
    ['test_asynccontextmanager_independent: what an isolated one sets at its end stays in', true],
  ])('%s', async (_, isolated) => {
    const variable = new ContextVar<string, string>('cvar', { default: 'A' })
    const seen: string[] = []
    const plain = async function* () {
      seen.push(variable.get())
      yield
      seen.push(variable.get())
      variable.set('D')
    }
    const manager = (isolated ? isolateGenerator(plain) : plain)()

    await runInScope(async () => {
      await manager.next()
      variable.set('C')
      await manager.next()
      seen.push(variable.get())
    })

    // An independent one sees 'A' at its end there, and ours its driver's 'C': see test_dependent_to_independent.
    expect(seen).toEqual(['A', 'C', isolated ? 'C' : 'D'])
  })
})
