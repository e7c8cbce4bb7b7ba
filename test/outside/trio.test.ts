// What trio asserts of contexts and of who cancels what: src/trio/_core/_tests/test_run.py and the reference's “Task-local
// storage” and “Nurseries and spawning”. anyio documents the same for its task groups.
import { ContextVar, runInScope, spawn, TaskGroup, withTaskGroup } from 'logical-context'
import { describe, expect, it } from 'vitest'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('contexts in trio', () => {
  it('test_contextvars_support: a child inherits, and what it sets is not seen by its parent', async () => {
    const variable = new ContextVar<string>('test')

    const seen = await runInScope(async () => {
      variable.set('parent')
      const child = await withTaskGroup((group) =>
        group.spawn(async () => {
          const before = variable.get()
          await turn()
          variable.set('child')
          return before
        }),
      )
      return [await child.result(), variable.get()]
    })

    expect(seen).toEqual(['parent', 'parent'])
  })

  it('test_contextvars_multitask: siblings do not see each other’s values, over any checkpoint', async () => {
    const variable = new ContextVar<string, string>('test', { default: 'hmmm' })
    const seen: string[] = []
    const set = async (name: string) => {
      seen.push(variable.get())
      variable.set(name)
      await turn()
      seen.push(variable.get())
    }

    await runInScope(async () => {
      await withTaskGroup((group) => {
        for (const name of ['first', 'second']) group.spawn(() => set(name))
      })
      seen.push(variable.get())
    })

    expect(seen).toEqual(['hmmm', 'hmmm', 'first', 'second', 'hmmm'])
  })

  it('“Task-local storage”: a child has the values of the code that spawns it, not of the code that opened the nursery', async () => {
    const variable = new ContextVar<string>('test')

    const seen = await runInScope(async () => {
      variable.set('opener')
      const child = await withTaskGroup(async (group) => {
        const spawner = group.spawn(() => {
          variable.set('spawner')
          return group.spawn(() => variable.get())
        })
        return (await spawner.result()).result()
      })
      return child
    })

    expect(seen).toBe('spawner')
  })

  it('“Cancellation and timeouts”: a child is cancelled with its nursery, not with the code that spawned it', async () => {
    const group = new TaskGroup()
    const ended = Promise.withResolvers<void>()

    const task = runInScope((scope) => {
      const task = group.spawn(async ({ signal }) => {
        await ended.promise
        return signal.aborted
      })
      scope.abort(new Error('gone'))
      return task
    })
    ended.resolve()

    expect(await task.result()).toBe(false)
  })

  it('test_system_task_contexts: a system task has none of the spawner’s values: isolate', async () => {
    const variable = new ContextVar<string>('test')

    const task = runInScope(() => {
      variable.set('regular')
      return spawn(() => variable.get(), { policy: 'isolate' })
    })

    expect(await task.result()).toBe(undefined)
  })
})
