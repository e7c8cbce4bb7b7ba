import { ContextVar, race, runInScope, type Task, TaskGroup } from 'logical-context'
import { describe, expect, it } from 'vitest'
import { sleep } from './sleep.ts'

const user = new ContextVar<string>('user')
const boom = new Error('boom')
const tick = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('race', () => {
  it('resolves with the first value, when the others have obeyed their signals', async () => {
    const events: unknown[] = []

    const value = await race(
      [
        async ({ signal }: Task) => {
          await sleep(10_000, { signal }).catch((reason: unknown) => events.push(reason))
          await tick()
          events.push('cleaned up')
          return 'slow'
        },
        function quick() {
          return tick().then(() => 'quick')
        },
      ],
      { name: 'mirrors' },
    )

    expect(value).toBe('quick')
    expect(events).toMatchObject([
      {
        code: 'LCTX_CANCELLED',
        message: expect.stringMatching(/^The work of 'mirrors' was cancelled, because 'quick' ended first\./),
      },
      'cleaned up',
    ])
  })

  it('rejects with the first failure, which is the reason of the others’ signals', async () => {
    const reasons: unknown[] = []

    const outcome = await race([
      () => Promise.reject(boom),
      ({ signal }: Task) => sleep(10_000, { signal }).catch((reason: unknown) => reasons.push(reason)),
    ]).catch((error: unknown) => error)

    expect(outcome).toBe(boom)
    expect(reasons).toMatchObject([
      {
        message: expect.stringMatching(/^The work of 'race' was cancelled, because 'race 0' failed first\./),
        cause: boom,
      },
    ])
  })

  it('begins all of them, also where the first has its value at once', async () => {
    const begun: number[] = []

    const value = await race([() => begun.push(0), () => begun.push(1)])

    expect(value).toBe(1)
    expect(begun).toEqual([0, 1])
  })

  it('calls onError for what fails later, in its own context, unless it was only aborted', async () => {
    const told: unknown[] = []
    const group = new TaskGroup({ onError: (error, task) => told.push(error, task.name, user.get()) })

    const value = await runInScope(
      () => {
        user.set('ada')
        return race([
          () => 'first',
          async function careless() {
            user.set('careless')
            await tick()
            throw boom
          },
          ({ signal }: Task) => sleep(10_000, { signal }).then(() => 'never'),
        ])
      },
      { group },
    )

    expect(value).toBe('first')
    expect(told).toEqual([boom, 'careless', 'careless'])
    expect(group.counters.failed).toBe(1)
  })

  it('rejects with the caller’s reason where an abort of the caller has cut all off', async () => {
    const gone = new Error('gone')

    const outcome = await runInScope((scope) => {
      const raced = race([
        ({ signal }: Task) => sleep(10_000, { signal }),
        ({ signal }: Task) => sleep(10_000, { signal }),
      ])
      scope.abort(gone)
      return raced.catch((error: unknown) => error)
    })

    expect(outcome).toBe(gone)
  })

  it.each([
    ['nothing to run', () => race([]), 'expected at least one function, got none.'],
    ['no functions', () => race([Promise.resolve(1)] as never), 'expected an array of functions, got [ Promise'],
    [
      'an unknown option',
      () => race([() => 1], { limit: 1 } as never),
      "unknown option 'limit', expected one of: name.",
    ],
    ['a name of nothing', () => race([() => 1], { name: '' }), "option 'name' expected a string of at least"],
  ])('rejects with a TypeError for %s', async (_name, call, message) => {
    await expect(call()).rejects.toThrow(TypeError)
    await expect(call()).rejects.toThrow(`race: ${message}`)
  })
})
