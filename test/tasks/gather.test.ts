import { gather, runInScope, type Task } from 'logical-context'
import { describe, expect, it } from 'vitest'
import { sleep } from './sleep.ts'

const boom = new Error('boom')
const tick = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('gather', () => {
  it('resolves with the values in the order of the functions, whatever order they end in', async () => {
    const [price, stock, name] = await gather([() => tick().then(() => 9.5), async () => 3, () => 'tea'])

    const typed: [number, number, string] = [price, stock, name]
    expect(typed).toEqual([9.5, 3, 'tea'])
  })

  it('resolves with nothing for nothing', async () => {
    expect(await gather([])).toEqual([])
  })

  it('rejects with the failure itself if there is one, when the others have ended', async () => {
    const events: unknown[] = []

    const outcome = await gather([
      () => Promise.reject(boom),
      async ({ signal }: Task) => {
        await sleep(10_000, { signal }).catch((reason: unknown) => events.push(reason))
        await tick()
        events.push('cleaned up')
        return 'late'
      },
    ]).catch((error: unknown) => error)

    expect(outcome).toBe(boom)
    expect(events).toMatchObject([{ code: 'LCTX_CANCELLED', cause: boom }, 'cleaned up'])
  })

  it('rejects with an AggregateError if there are several, without those that are only abort errors', async () => {
    const second = new Error('second')

    const outcome = await gather([
      () => Promise.reject(boom),
      ({ signal }: Task) => sleep(10_000, { signal }),
      () => tick().then(() => Promise.reject(second)),
    ]).catch((error: unknown) => error)

    expect(outcome).toMatchObject({ name: 'AggregateError', errors: [boom, second] })
  })

  it('counts a failure once that several have', async () => {
    const shared = Promise.reject(boom)

    const outcome = await gather([() => shared, () => shared]).catch((error: unknown) => error)

    expect(outcome).toBe(boom)
  })

  it('runs no more at a time than it may, and begins the others in order', async () => {
    const events: string[] = []
    const gates = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
    const fns = gates.map(({ promise }, i) => async () => {
      events.push(`begin ${i}`)
      await promise
      return i
    })

    const gathered = gather(fns, { concurrency: 2 })
    gates[1]?.resolve()
    await tick()
    gates[0]?.resolve()
    gates[2]?.resolve()
    gates[3]?.resolve()

    expect(await gathered).toEqual([0, 1, 2, 3])
    expect(events).toEqual(['begin 0', 'begin 1', 'begin 2', 'begin 3'])
  })

  it('does not begin what waits when one has failed', async () => {
    const begun: number[] = []
    const fns = [0, 1, 2, 3].map((i) => async () => {
      begun.push(i)
      await tick()
      throw boom
    })

    const outcome = await gather(fns, { concurrency: 1 }).catch((error: unknown) => error)

    expect(outcome).toBe(boom)
    expect(begun).toEqual([0])
  })

  it('rejects with the caller’s reason where an abort of the caller has cut it off', async () => {
    const gone = new Error('gone')
    const begun: number[] = []

    const outcome = await runInScope(async (scope) => {
      const fns = [0, 1, 2].map((i) => async ({ signal }: Task) => {
        begun.push(i)
        scope.abort(gone)
        signal.throwIfAborted()
      })
      return gather(fns, { concurrency: 1 }).catch((error: unknown) => error)
    })

    expect(outcome).toBe(gone)
    expect(begun).toEqual([0])
  })

  it('rejects where one has aborted itself, with its own error', async () => {
    const own = new Error('not needed')

    const outcome = await gather([
      (task: Task) => {
        task.abort(own)
        task.signal.throwIfAborted()
      },
    ]).catch((error: unknown) => error)

    expect(outcome).toBe(own)
  })

  it('names its tasks by their functions, or by its own name and their place', async () => {
    function price({ name }: Task) {
      return name
    }

    const names = await Promise.all([
      gather([price, ({ name }: Task) => name]),
      gather([price, ({ name }: Task) => name], { name: 'quote' }),
    ])

    expect(names).toEqual([
      ['price', 'gather 1'],
      ['price', 'quote 1'],
    ])
  })

  it.each([
    ['no array', () => gather(new Set([() => 1]) as never), 'expected an array of functions, got Set(1)'],
    [
      'a promise in the array',
      () => gather([Promise.resolve(1)] as never),
      'expected an array of functions, got [ Promise',
    ],
    [
      'a concurrency of 0',
      () => gather([() => 1], { concurrency: 0 }),
      "option 'concurrency' expected a whole number of at least 1, got 0.",
    ],
    [
      'a concurrency of one and a half',
      () => gather([() => 1], { concurrency: 1.5 }),
      "option 'concurrency' expected a whole number of at least 1, got 1.5.",
    ],
    [
      'an unknown option',
      () => gather([() => 1], { limit: 1 } as never),
      "unknown option 'limit', expected one of: concurrency, name.",
    ],
    ['a name of nothing', () => gather([() => 1], { name: '' }), "option 'name' expected a string of at least"],
  ])('rejects with a TypeError for %s', async (_name, call, message) => {
    await expect(call()).rejects.toThrow(TypeError)
    await expect(call()).rejects.toThrow(`gather: ${message}`)
  })
})
