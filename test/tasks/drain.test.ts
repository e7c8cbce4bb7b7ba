import {
  ContextVar,
  type DrainReport,
  gather,
  runInScope,
  shield,
  spawn,
  TaskGroup,
  withTaskGroup,
  withTimeout,
} from 'logical-context'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const user = new ContextVar<string>('user')

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  // No program begins with a drain.
  vi.advanceTimersByTime(5000)
})
afterEach(() => {
  vi.useRealTimers()
})

describe('a drain', () => {
  it('ends at once where there is nothing to wait for', async () => {
    const group = new TaskGroup()
    await group.spawn(() => 'before the drain').result()

    expect(await group.drain()).toEqual({ finished: 0, unfinished: [], elapsedMs: 0 })
    expect(vi.getTimerCount()).toBe(0)
  })

  it('waits for all tasks, and counts those that have ended meanwhile, failed ones too', async () => {
    const group = new TaskGroup({ onError: () => {} })
    const gates = Array.from({ length: 3 }, () => Promise.withResolvers<void>())
    for (const { promise } of gates) group.spawn(() => promise)

    const drained = group.drain()
    gates[0]?.resolve()
    gates[1]?.reject(new Error('failed'))
    await vi.advanceTimersByTimeAsync(2000)
    gates[2]?.resolve()

    expect(await drained).toEqual({ finished: 3, unfinished: [], elapsedMs: 2000 })
    expect(vi.getTimerCount()).toBe(0)
  })

  it('waits for what tasks spawn meanwhile, as their last act too', async () => {
    const group = new TaskGroup()
    const log: number[] = []
    const descend = async (depth: number): Promise<void> => {
      await Promise.resolve()
      log.push(depth)
      if (depth > 0) spawn(() => descend(depth - 1), { policy: depth % 2 === 0 ? 'inherit' : 'isolate' })
    }

    runInScope(() => spawn(() => descend(5)), { group })
    const { finished } = await group.drain()

    expect(log).toEqual([5, 4, 3, 2, 1, 0])
    expect(finished).toBe(6)
  })

  it('waits for a task that is spawned after the last task ended', async () => {
    const group = new TaskGroup()
    const ended: number[] = []
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    const spawnNext = (depth: number): void => {
      const task = group.spawn(async () => {
        await turn()
        ended.push(depth)
      })
      if (depth > 0) void task.result().then(() => spawnNext(depth - 1))
    }

    spawnNext(2)
    const { finished } = await group.drain()

    expect([ended, finished]).toEqual([[2, 1, 0], 3])
  })

  it('aborts at the limit, and names what was left with what that has seen', async () => {
    const group = new TaskGroup({ name: 'background' })
    const reasons: unknown[] = []
    runInScope(
      () => {
        user.set('ada')
        spawn(() => Promise.resolve(), { name: 'quick' })
        spawn(
          ({ signal }) =>
            new Promise<void>((resolve) => {
              signal.addEventListener('abort', () => {
                reasons.push(signal.reason)
                resolve()
              })
            }),
          { name: 'obedient' },
        )
        spawn(() => new Promise(() => {}), { name: 'deaf', policy: 'isolate' })
      },
      { group },
    )

    const report = await over(group.drain({ timeoutMs: 1000, graceMs: 100 }))

    expect(report).toEqual({
      finished: 1,
      unfinished: [
        {
          id: expect.any(Number),
          name: 'obedient',
          policy: 'inherit',
          context: expect.anything(),
          began: true,
          ended: true,
        },
        {
          id: expect.any(Number),
          name: 'deaf',
          policy: 'isolate',
          context: expect.anything(),
          began: true,
          ended: false,
        },
      ],
      elapsedMs: 1100,
    })
    expect(report.unfinished.map(({ context }) => context.get(user))).toEqual(['ada', undefined])
    expect(reasons).toEqual([
      expect.objectContaining({
        code: 'LCTX_ABANDONED',
        message: expect.stringMatching(/'background' reached its limit of 1000 ms/),
      }),
    ])
    expect(Array.from(group.tasks, ({ name }) => name)).toEqual(['deaf'])
  })

  it('ends before the grace is over where all obey', async () => {
    const group = new TaskGroup()
    group.spawn(({ signal }) => new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())))

    const report = await over(group.drain({ timeoutMs: 1000, graceMs: 100 }))

    expect(report.elapsedMs).toBe(1000)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('names what is begun after the limit too, and aborts it', async () => {
    const group = new TaskGroup()
    const signals: AbortSignal[] = []
    group.spawn(
      ({ signal }) =>
        new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => {
            const late = group.spawn(() => new Promise(() => {}), { name: 'second thought' })
            signals.push(late.signal)
            resolve()
          })
        }),
      { name: 'first' },
    )

    const report = await over(group.drain({ timeoutMs: 1000 }))

    expect(report.unfinished.map(({ name, ended }) => [name, ended])).toEqual([
      ['first', true],
      ['second thought', false],
    ])
    expect(signals.map(({ aborted }) => aborted)).toEqual([true])
  })

  it('waits 10 s and 500 ms of grace where nothing else is said', async () => {
    const group = new TaskGroup()
    group.spawn(() => new Promise(() => {}))

    const report = await over(group.drain())

    expect(report.elapsedMs).toBe(10_500)
  })

  it('aborts nearly at once with a limit of 0', async () => {
    const group = new TaskGroup()
    group.spawn(() => new Promise(() => {}))

    const report = await over(group.drain({ timeoutMs: 0, graceMs: 0 }))

    expect(report.unfinished).toHaveLength(1)
    expect(report.elapsedMs).toBeLessThanOrEqual(2)
  })

  it('aborts tasks before anything else can happen, with a limit of 0', async () => {
    const group = new TaskGroup()
    const { signal } = group.spawn(() => new Promise(() => {}))

    const drained = group.drain({ timeoutMs: 0 })
    const { aborted } = signal

    expect(aborted).toBe(true)
    await over(drained)
  })

  it.each([{ timeoutMs: 0 }, {}])(
    'with %j does not abort a task that is spawned when the group was idle',
    async (options) => {
      const group = new TaskGroup()

      const drained = group.drain(options)
      const task = group.spawn(() => new Promise(() => {}))

      expect((await drained).unfinished).toEqual([])
      expect(task.signal.aborted).toBe(false)
    },
  )

  it('does not abort a task that is spawned a moment after the last one', async () => {
    const outcomes = Array.from({ length: 20 }, async (_, moments) => {
      const group = new TaskGroup()
      const last = Promise.withResolvers<void>()
      group.spawn(() => last.promise)
      const drained = group.drain()
      last.resolve()

      for (let i = 0; i < moments; i++) await Promise.resolve()
      group.spawn(() => new Promise<void>((resolve) => setImmediate(resolve)))

      return (await drained).unfinished
    })

    expect((await Promise.all(outcomes)).flat()).toEqual([])
  })

  it('does not take a limit beyond what a timer can do for none at all', async () => {
    const group = new TaskGroup()
    const gate = Promise.withResolvers<void>()
    group.spawn(() => gate.promise)

    const drained = group.drain({ timeoutMs: Number.MAX_SAFE_INTEGER })
    await vi.advanceTimersByTimeAsync(60_000)
    gate.resolve()

    expect(await drained).toMatchObject({ finished: 1, unfinished: [] })
  })

  describe('called by a task of its own group', () => {
    it.each<[name: string, callIn: (call: () => Promise<DrainReport>) => Promise<DrainReport>]>([
      ['itself', (call) => call()],
      ['a block', (call) => user.run('ada', call)],
      ['withTimeout', (call) => withTimeout(call, 60_000)],
      ['shield', (call) => shield(call)],
      ['gather in gather', async (call) => (await gather([async () => (await gather([call]))[0]]))[0]],
      ['a body of withTaskGroup', (call) => withTaskGroup(call)],
      ['a task of withTaskGroup', (call) => withTaskGroup((inner) => inner.spawn(call).result())],
    ])('waits for the other tasks, and not for that one: in %s', async (_, callIn) => {
      for (const policy of ['inherit', 'isolate', 'share'] as const) {
        const group = new TaskGroup()
        const gate = Promise.withResolvers<void>()
        const events: string[] = []

        group.spawn(() => gate.promise.then(() => events.push('other task')))
        const caller = runInScope(() =>
          group.spawn(
            async () => {
              const report = await callIn(() => group.drain())
              events.push('drained')
              return report
            },
            { policy },
          ),
        )
        await vi.advanceTimersByTimeAsync(2_000)
        gate.resolve()
        const { unfinished, elapsedMs } = await over(caller.result())

        expect([unfinished, elapsedMs]).toEqual([[], 2_000])
        expect(events).toEqual(['other task', 'drained'])
      }
    })

    it('waits for the task when the call inside it has ended', async () => {
      const group = new TaskGroup()
      const gate = Promise.withResolvers<void>()
      const drained: number[] = []
      group.spawn(async () => {
        drained.push((await group.drain()).finished)
        await gate.promise
      })

      const outer = group.drain().then(({ finished }) => drained.push(finished))
      await vi.advanceTimersByTimeAsync(10)
      const before = [...drained]
      gate.resolve()
      await outer

      expect(before).toEqual([0])
      expect(drained).toEqual([0, 1])
    })

    it('does not wait for a second task that drains at the same time', async () => {
      const group = new TaskGroup()
      const tasks = [1, 2].map(() =>
        group.spawn(async () => {
          await Promise.resolve()
          return group.drain()
        }),
      )

      const reports = await over(Promise.all(tasks.map((task) => task.result())))

      expect(reports).toMatchObject([
        { unfinished: [], elapsedMs: 0 },
        { unfinished: [], elapsedMs: 0 },
      ])
    })

    it('does not abort or name that task at the limit', async () => {
      const group = new TaskGroup()
      const stuck = group.spawn(() => new Promise(() => {}), { name: 'stuck' })
      const caller = group.spawn(() => group.drain({ timeoutMs: 100, graceMs: 0 }), { name: 'caller' })

      const { unfinished } = await over(caller.result())

      expect(unfinished.map(({ name }) => name)).toEqual(['stuck'])
      expect([caller.signal.aborted, stuck.signal.aborted]).toEqual([false, true])
    })
  })

  it('leaves the group open, and may be repeated, also at the same time', async () => {
    const group = new TaskGroup()
    const gate = Promise.withResolvers<void>()
    group.spawn(() => gate.promise)

    const both = Promise.all([group.drain(), group.drain()])
    gate.resolve()
    const finished = (await both).map((report) => report.finished)
    group.spawn(() => Promise.resolve())

    expect([...finished, (await group.drain()).finished]).toEqual([1, 1, 1])
  })

  it('drains a closed group', async () => {
    const group = new TaskGroup()
    const gate = Promise.withResolvers<void>()
    group.spawn(() => gate.promise)
    group.close()

    const drained = group.drain()
    gate.resolve()

    expect((await drained).finished).toBe(1)
  })

  it.each<[name: string, options: object, message: string]>([
    ['a negative limit', { timeoutMs: -1 }, "option 'timeoutMs' expected a number of at least 0, got -1"],
    [
      'a limit that is not a number',
      { timeoutMs: Number.NaN },
      "option 'timeoutMs' expected a number of at least 0, got NaN",
    ],
    [
      'no limit',
      { timeoutMs: Number.POSITIVE_INFINITY },
      "option 'timeoutMs' expected a number of at least 0, got Infinity",
    ],
    ['a grace of text', { graceMs: '1s' }, "option 'graceMs' expected a number of at least 0, got '1s'"],
    ['an unknown option', { timeout: 1 }, "unknown option 'timeout', expected one of: timeoutMs, graceMs"],
  ])('refuses %s at once', (_, options, message) => {
    expect(() => new TaskGroup().drain(options)).toThrow(`drain: ${message}`)
  })
})

/** Lets the time pass until a drain is over. */
async function over<T>(drained: Promise<T>): Promise<T> {
  await vi.advanceTimersByTimeAsync(60_000)
  return drained
}
