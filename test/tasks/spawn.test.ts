import {
  backgroundGroup,
  ContextVar,
  isolateGenerator,
  LogicalContext,
  run,
  runInScope,
  spawn,
  TaskGroup,
} from 'logical-context'
import { describe, expect, it, vi } from 'vitest'

const user = new ContextVar<string>('user')

describe('spawn', () => {
  it('throws outside any unit, with an error that has the remedy, and runs nothing', () => {
    const fn = vi.fn()

    expect(() => spawn(fn)).toThrow(
      expect.objectContaining({
        code: 'LCTX_OUTSIDE_UNIT',
        message: expect.stringMatching(/^spawn\(\) was called outside any unit of work\. .*runInScope\(fn\)/),
      }),
    )
    expect(() => user.run('ada', () => spawn(fn))).toThrow(expect.objectContaining({ code: 'LCTX_OUTSIDE_UNIT' }))
    expect(fn).not.toHaveBeenCalled()
  })

  it('spawns the task in the group of the unit', async () => {
    const group = new TaskGroup()
    const gate = Promise.withResolvers<void>()

    const [own, background] = [
      runInScope(() => spawn(() => gate.promise), { group }),
      runInScope(() => spawn(() => gate.promise)),
    ]
    const owners = [
      group.tasks.includes(own),
      backgroundGroup.tasks.includes(own),
      backgroundGroup.tasks.includes(background),
    ]
    gate.resolve()
    await Promise.all([group.drain(), backgroundGroup.drain()])

    expect(owners).toEqual([true, false, true])
  })

  it.each<[name: string, around: (fn: () => Promise<string | undefined>) => Promise<string | undefined>]>([
    ['a block', (fn) => user.run('ada', fn)],
    ['a run of a context', (fn) => run(LogicalContext.empty.with(user, 'ada'), fn)],
    [
      'a generator',
      (fn) => {
        const generator = isolateGenerator(function* () {
          user.set('ada')
          yield fn()
        })()
        return generator.next().value ?? Promise.resolve('the generator is over')
      },
    ],
    ['a callback of a timer', (fn) => new Promise((resolve) => setTimeout(() => resolve(user.run('ada', fn)), 0))],
  ])('works in %s', async (_, around) => {
    const seen = await runInScope(() => around(() => spawn(() => user.get()).result()))

    expect(seen).toBe('ada')
  })

  it('works after the end of the unit: the task has an owner, and sees the survivors', async () => {
    const kept = new ContextVar<string>('kept', { onSpawn: 'keep' })
    const group = new TaskGroup()
    const gate = Promise.withResolvers<void>()
    const results: Promise<unknown>[] = []

    runInScope(
      () => {
        user.set('ada')
        kept.set('kept')
        results.push(gate.promise.then(() => spawn(() => [user.get(), kept.get(), user.set('task’s')]).result()))
      },
      { group },
    )
    gate.resolve()

    expect(await Promise.all(results)).toEqual([[undefined, 'kept', undefined]])
  })

  it('allows tasks to spawn tasks under every policy', async () => {
    const seen = await runInScope(async () => {
      user.set('ada')
      const policies = ['inherit', 'isolate', 'share', { only: [user] }] as const
      const results = policies.map((policy) =>
        spawn(() => spawn(() => user.get(), { policy: 'inherit' }).result(), { policy }).result(),
      )
      return Promise.all(results)
    })

    expect(seen).toEqual(['ada', undefined, 'ada', 'ada'])
  })

  it('throws what the spawner has done wrong, and takes no task', () => {
    const group = new TaskGroup()

    runInScope(
      () => {
        expect(() => spawn(undefined as never)).toThrow(TypeError)
        expect(() => spawn(() => {}, { retries: 3 } as never)).toThrow(/unknown option 'retries'/)
        group.close()
        expect(() => spawn(() => {})).toThrow(expect.objectContaining({ code: 'LCTX_GROUP_CLOSED' }))
      },
      { group },
    )

    expect(group.tasks.length).toBe(0)
  })
})
