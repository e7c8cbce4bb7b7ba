import { gather, runInScope, sleep, type Task } from 'logical-context'
import { describe, expect, it } from 'vitest'

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

  it('rejects with an AggregateError if there are several, without those that only say "aborted"', async () => {
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

  it.each([
    ['no array', () => gather(new Set([() => 1]) as never)],
    ['a promise in the array', () => gather([Promise.resolve(1)] as never)],
    ['a concurrency of 0', () => gather([() => 1], { concurrency: 0 })],
    ['an unknown option', () => gather([() => 1], { limit: 1 } as never)],
  ])('rejects with a TypeError for %s', async (_name, call) => {
    await expect(call()).rejects.toThrow(TypeError)
  })
})
