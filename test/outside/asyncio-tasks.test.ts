// What CPython asserts of the contexts of asyncio's tasks, in Lib/test/test_asyncio/test_tasks.py (3.14), each behaviour
// under the name of its test; where ours differs, the title says how and the comment why.
import { ContextVar, current, gather, run, runInScope, spawn, withTimeout } from 'logical-context'
import { describe, expect, it } from 'vitest'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('the contexts of tasks in CPython', () => {
  it('test_context_1: awaited calls share, and nothing that a task sets is seen outside of it', async () => {
    const variable = new ContextVar<string, string>('cvar', { default: 'nope' })
    const sub = async () => {
      await turn()
      expect(variable.get()).toBe('nope')
      variable.set('something else')
    }

    const seen = await runInScope(async () => {
      expect(variable.get()).toBe('nope')
      await spawn(async () => {
        const subtask = spawn(sub)
        variable.set('yes')
        expect(variable.get()).toBe('yes')
        await subtask.result()
        expect(variable.get()).toBe('yes')
      }).result()
      return variable.get()
    })

    expect([seen, variable.get()]).toEqual(['nope', 'nope'])
  })

  it('test_context_2: callbacks of a promise run in the context of the code that attached them', async () => {
    const variable = new ContextVar<string, string>('cvar', { default: 'nope' })
    const seen: string[] = []

    await runInScope(async () => {
      const future = Promise.withResolvers<void>()
      // There add_done_callback takes a copy at once; here a callback is part of the unit, as an await is: rule 1.
      const called = future.promise.then(() => seen.push(variable.get()))
      variable.set('yes')
      await spawn(() => {
        variable.set('resolver')
        future.resolve()
      }).result()
      await called
      await turn()
      seen.push(variable.get())
    })

    expect(seen).toEqual(['yes', 'yes'])
  })

  it('test_context_3: a hundred tasks in parallel, each of which sets the variable ten times', async () => {
    const variable = new ContextVar<number, number>('cvar', { default: -1 })
    const sub = async (num: number) => {
      for (let i = 0; i < 10; i++) {
        variable.set(num + i)
        for (let turns = 0; turns <= num % 3; turns++) await turn()
        expect(variable.get()).toBe(num + i)
      }
    }

    const seen = await runInScope(async () => {
      await gather(Array.from({ length: 100 }, (_, num) => () => sub(num)))
      return variable.get()
    })

    expect(seen).toBe(-1)
  })

  // With create_task(…, context=ctx) tasks write one Context, which the spawner reads. Our contexts are immutable: tasks
  // that write the same values are in one unit, under `share`.
  it('test_context_4, 5 and 6: differ, tasks that are to share their writes have the policy share', async () => {
    const variable = new ContextVar<number>('cvar')
    const coro = async (value: number) => {
      await Promise.resolve()
      variable.set(value)
    }

    const seen = await runInScope(async () => {
      const before = current()
      const seen = [variable.get()]
      for (const value of [1, 2]) {
        await spawn(() => coro(value), { policy: 'share' }).result()
        seen.push(variable.get())
      }
      return [...seen, before.get(variable)]
    })

    expect(seen).toEqual([undefined, 1, 2, undefined])
  })

  it('create_task(…, context=ctx): a task in a given context is spawned in a block of it', async () => {
    const variable = new ContextVar<string>('cvar')

    const seen = await runInScope(async () => {
      variable.set('given')
      const given = current()
      variable.set('later')
      return run(given, () => spawn(() => variable.get())).result()
    })

    expect(seen).toBe('given')
  })

  // A coroutine does not run before the loop's next turn there; a JavaScript function runs on the spot, up to its first
  // await. In both the values are those of the moment of the spawn.
  it('eager start: differs, a task begins on its spawner’s stack, as with asyncio.eager_task_factory', async () => {
    const variable = new ContextVar<string>('cvar')
    const order: string[] = []

    const seen = await runInScope(async () => {
      variable.set('at the spawn')
      const task = spawn(async () => {
        order.push('task')
        await turn()
        return variable.get()
      })
      order.push('spawner')
      variable.set('later')
      return task.result()
    })

    expect([order, seen]).toEqual([['task', 'spawner'], 'at the spawn'])
  })

  // Until 3.12 wait_for() made a task of its coroutine, the first reason of PEP 550's discussion; since then it is an
  // await under timeout(). Ours has always been one.
  it('test_waitfor.py, wait_for: a timeout shares as an await does', async () => {
    const variable = new ContextVar<number>('cvar')

    const seen = await runInScope(async () => {
      variable.set(1)
      await withTimeout(async () => {
        await Promise.resolve()
        variable.set(42)
      }, 60_000)
      return variable.get()
    })

    expect(seen).toBe(42)
  })
})
