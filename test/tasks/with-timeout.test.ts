import {
  backgroundGroup,
  bind,
  type CancelScope,
  ContextVar,
  currentDeadline,
  currentSignal,
  runInScope,
  spawn,
  TaskGroup,
  withTimeout,
} from 'logical-context'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { sleep } from './sleep.ts'

const user = new ContextVar<string>('user')
const never = new Promise<never>(() => {})

describe('withTimeout', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('rejects at the limit, not before, with an error that names the function and the limit', async () => {
    const outcome = settled(
      withTimeout(async function fetchPrices() {
        await never
      }, 100),
    )

    await vi.advanceTimersByTimeAsync(99)
    const before = outcome.error
    await vi.advanceTimersByTimeAsync(1)

    expect(before).toBeUndefined()
    expect(outcome.error).toMatchObject({
      code: 'LCTX_TIMEOUT',
      message: expect.stringMatching(/^'fetchPrices' did not end within 100 ms/),
    })
  })

  it('names itself where its function has no name', async () => {
    const outcome = settled(withTimeout(() => never, 100))

    await vi.advanceTimersByTimeAsync(100)

    expect(outcome.error).toMatchObject({
      message: expect.stringMatching(/^'withTimeout' did not end within 100 ms/),
    })
  })

  it('aborts the signal with the same error, whatever error the aborted code fails with', async () => {
    const reasons: unknown[] = []

    const outcome = settled(
      withTimeout(
        ({ signal }) =>
          new Promise((_, reject) => {
            signal.addEventListener('abort', () => {
              reasons.push(signal.reason)
              reject(new DOMException('stopped', 'AbortError'))
            })
          }),
        100,
        { name: 'prices' },
      ),
    )
    await vi.advanceTimersByTimeAsync(100)

    expect(outcome.error).toMatchObject({ code: 'LCTX_TIMEOUT' })
    expect(reasons).toEqual([outcome.error])
  })

  it('leaves no timer', async () => {
    await withTimeout(() => 1, 100)
    await withTimeout(() => Promise.reject(new Error('boom')), 100).catch(() => {})

    expect(vi.getTimerCount()).toBe(0)
  })

  it('does not abort what it was quick enough for', async () => {
    let signal: AbortSignal | undefined

    await withTimeout((scope) => {
      ;({ signal } = scope)
    }, 100)
    await vi.advanceTimersByTimeAsync(100)

    expect(signal?.aborted).toBe(false)
  })

  it('keeps the abort of the caller from a call that has ended, although no code read the signal before', async () => {
    const limit = await runInScope(async (scope) => {
      const ended = await withTimeout((given) => given, 100)
      scope.abort(new Error('gone'))
      return ended
    })

    expect(limit.signal.aborted).toBe(false)
  })

  it('waits longer than a timer of Node can', async () => {
    const monthMs = 31 * 24 * 60 * 60 * 1000
    const outcome = settled(withTimeout(() => never, monthMs))

    await vi.advanceTimersByTimeAsync(monthMs - 1)
    const before = outcome.error
    await vi.advanceTimersByTimeAsync(1)

    expect(before).toBeUndefined()
    expect(outcome.error).toMatchObject({ code: 'LCTX_TIMEOUT' })
  })

  it('rejects with its own error where what it waits for has known of the limit, and was faster', async () => {
    const call = withTimeout(
      async (limit) => {
        throw new Error('the call has not ended', { cause: limit.expire() })
      },
      1000,
      { name: 'reserve' },
    )

    await expect(call).rejects.toThrow(/^'reserve' did not end within 1000 ms/)
  })

  it('rejects with the function’s own error where that has failed at the limit for a reason of its own', async () => {
    const call = withTimeout(async (limit) => {
      limit.expire()
      throw new Error('boom')
    }, 1000)

    await expect(call).rejects.toThrow('boom')
  })

  it('rejects with the function’s own error if the caller was aborted before the limit', async () => {
    const own = new DOMException('stopped', 'AbortError')

    const call = runInScope((scope) =>
      withTimeout(async ({ signal }) => {
        scope.abort(new Error('gone'))
        expect(signal.aborted).toBe(true)
        throw own
      }, 1000),
    )

    await expect(call).rejects.toBe(own)
  })

  it('has its own error for work after its end, whatever the outcome of the caller', async () => {
    const reason = await runInScope(async (scope) => {
      const limit = await withTimeout((inside) => inside, 1000, { name: 'reserve' })
      scope.abort(new Error('gone'))
      return limit.expire()
    })

    expect(reason).toMatchObject({ message: expect.stringMatching(/^'reserve' did not end within 1000 ms/) })
  })

  describe('inside another limit', () => {
    it('passes the earlier of the two to its function, with the error of that one', async () => {
      const deadlines: (number | undefined)[] = []
      const inner = async () => {
        deadlines.push(currentDeadline())
        await never
      }
      const now = Date.now()

      const outcomes = [
        settled(runInScope(() => withTimeout(() => withTimeout(inner, 50, { name: 'inner' }), 100, { name: 'outer' }))),
        settled(runInScope(() => withTimeout(() => withTimeout(inner, 100, { name: 'inner' }), 50, { name: 'outer' }))),
      ]
      await vi.advanceTimersByTimeAsync(50)

      expect(deadlines).toEqual([now + 50, now + 50])
      expect(outcomes).toMatchObject([
        { error: { message: expect.stringMatching(/^'inner'/) } },
        { error: { message: expect.stringMatching(/^'outer'/) } },
      ])
    })

    it('ends with the outer one’s error also where it goes on after that', async () => {
      let outcome: { error?: unknown } = {}

      await runInScope(() =>
        withTimeout(
          () => {
            outcome = settled(withTimeout(() => never, 100, { name: 'inner' }))
          },
          50,
          { name: 'outer' },
        ),
      )
      await vi.advanceTimersByTimeAsync(50)

      expect(outcome.error).toMatchObject({ message: expect.stringMatching(/^'outer'/) })
    })

    it('ends at the deadline of the request', async () => {
      const group = new TaskGroup({ onError: () => {} })

      const outcome = settled(
        runInScope(() => withTimeout(() => never, 1000), { name: 'GET /', group, deadline: Date.now() + 50 }),
      )
      await vi.advanceTimersByTimeAsync(50)

      expect(outcome.error).toMatchObject({
        code: 'LCTX_DEADLINE',
        message: expect.stringMatching(/^The deadline of 'GET \/' is over/),
      })
    })

    it('ends at the deadline of the request, where its own limit is over at the same moment', async () => {
      const group = new TaskGroup({ onError: () => {} })
      const reader = ({ signal }: CancelScope) => {
        expect(signal.aborted).toBe(false)
        return never
      }

      const outcome = settled(runInScope(() => withTimeout(reader, 50), { group, deadline: Date.now() + 50 }))
      await vi.advanceTimersByTimeAsync(50)

      expect(outcome.error).toMatchObject({ code: 'LCTX_DEADLINE' })
    })

    it('ends at the deadline that its task has from the request, where the clock was set meanwhile', async () => {
      const deadline = Date.now() + 100

      const outcome = settled(
        runInScope(
          () =>
            spawn(
              () => {
                // The request's own timer is set already, and comes too late now.
                vi.setSystemTime(Date.now() + 40)
                return withTimeout(() => never, 1000)
              },
              { cancelWith: 'request' },
            ).result(),
          { group: new TaskGroup({ onError: () => {} }), deadline },
        ),
      )
      await vi.advanceTimersByTimeAsync(60)

      expect(outcome.error).toMatchObject({ code: 'LCTX_DEADLINE' })
    })

    it('ends at once where the deadline is over already', async () => {
      const outcome = settled(runInScope(() => withTimeout(() => never, 1000), { deadline: Date.now() - 1 }))

      await vi.advanceTimersByTimeAsync(0)

      expect(outcome.error).toMatchObject({ code: 'LCTX_DEADLINE' })
    })
  })

  describe('after the limit', () => {
    it('drops a late value, and makes the rest of the call a task that is waited for', async () => {
      const group = new TaskGroup()

      const outcome = settled(runInScope(() => withTimeout(() => sleep(150), 100, { name: 'slow' }), { group }))
      await vi.advanceTimersByTimeAsync(100)
      const left = Array.from(group.tasks, ({ name }) => name)
      await vi.advanceTimersByTimeAsync(50)

      expect(outcome.error).toMatchObject({ code: 'LCTX_TIMEOUT' })
      expect(left).toEqual(['slow, after its time'])
      expect(group.counters).toMatchObject({ running: 0, ended: 1, failed: 0 })
    })

    it('makes it a task of the program outside any unit', async () => {
      const open = Promise.withResolvers<void>()
      const outcome = settled(withTimeout(() => open.promise, 100, { name: 'slow' }))

      // A fake timer runs in the context of the code that advances it.
      await runInScope(() => vi.advanceTimersByTimeAsync(100), { group: new TaskGroup() })
      const left = Array.from(backgroundGroup.tasks, ({ name }) => name)
      open.resolve()
      await vi.advanceTimersByTimeAsync(0)

      expect(outcome.error).toMatchObject({ code: 'LCTX_TIMEOUT' })
      expect(left).toContain('slow, after its time')
    })

    it('makes it a task of a full group too: that cannot be refused', async () => {
      const group = new TaskGroup({ maxConcurrent: 1, maxQueued: 1 })
      const open = Promise.withResolvers<void>()
      for (let i = 0; i < 2; i++) group.spawn(() => open.promise)

      settled(runInScope(() => withTimeout(() => sleep(150), 100), { group }))
      await vi.advanceTimersByTimeAsync(100)
      const late = group.counters
      await vi.advanceTimersByTimeAsync(50)
      const before = group.counters
      open.resolve()
      await vi.advanceTimersByTimeAsync(0)

      expect([late, before, group.counters]).toMatchObject([
        { running: 2, queued: 1, ended: 0 },
        { running: 1, queued: 1, ended: 1 },
        { running: 0, queued: 0, ended: 3, failed: 0 },
      ])
    })

    it('reports a late failure, in the context of the call', async () => {
      const told: unknown[] = []
      const group = new TaskGroup({ onError: (error, task) => told.push(error, task.name, user.get()) })
      const boom = new Error('boom')
      const open = Promise.withResolvers<void>()

      const outcome = settled(
        runInScope(
          async () => {
            user.set('ada')
            await withTimeout(() => sleep(150).then(() => Promise.reject(boom)), 100, { name: 'slow' }).catch(() => {})
            await open.promise
          },
          { group },
        ),
      )
      await vi.advanceTimersByTimeAsync(150)
      open.resolve()
      await vi.advanceTimersByTimeAsync(0)

      expect(outcome.error).toBeUndefined()
      expect(told).toEqual([boom, 'slow, after its time', 'ada'])
    })

    it('does not report an error that is only its abort', async () => {
      const onError = vi.fn()
      const group = new TaskGroup({ onError })
      const wrapped = async (signal: AbortSignal) => {
        await sleep(1000, { signal }).catch((cause: unknown) => {
          throw new Error('wrapped', { cause })
        })
      }
      const endings = [
        ({ signal }: { signal: AbortSignal }) => sleep(1000, { signal }),
        ({ signal }: { signal: AbortSignal }) => wrapped(signal),
        () => sleep(150).then(() => Promise.reject(new DOMException('stopped', 'AbortError'))),
        () => sleep(150).then(() => Promise.reject(Object.assign(new Error('stopped'), { code: 'ABORT_ERR' }))),
      ]

      const outcomes = endings.map((fn) => settled(runInScope(() => withTimeout(fn, 100), { group })))
      await vi.advanceTimersByTimeAsync(200)

      expect(outcomes.map(({ error }) => error)).toMatchObject(endings.map(() => ({ code: 'LCTX_TIMEOUT' })))
      expect(onError).not.toHaveBeenCalled()
      expect(group.counters).toMatchObject({ running: 0, failed: 0 })
    })

    it.each([null, undefined, 'stopped'])('reports a late failure that is not an error: %j', async (failure) => {
      const onError = vi.fn()
      const group = new TaskGroup({ onError })

      const outcome = settled(
        runInScope(() => withTimeout(() => sleep(150).then(() => Promise.reject(failure)), 100), { group }),
      )
      await vi.advanceTimersByTimeAsync(150)

      expect(outcome.error).toMatchObject({ code: 'LCTX_TIMEOUT' })
      expect(onError).toHaveBeenCalledExactlyOnceWith(failure, expect.anything())
    })

    it('keeps the signal aborted for what goes on', async () => {
      const late = Promise.withResolvers<AbortSignal | undefined>()

      const outcome = settled(
        runInScope(
          () =>
            withTimeout(async () => {
              await sleep(150)
              late.resolve(currentSignal())
            }, 100),
          { group: new TaskGroup() },
        ),
      )
      await vi.advanceTimersByTimeAsync(150)

      expect((await late.promise)?.reason).toBe(outcome.error)
    })

    it('keeps the signal of the caller for what goes on after a call that was quick enough', async () => {
      const late = Promise.withResolvers<boolean>()

      void runInScope(async (scope) => {
        await withTimeout(() => {
          // A fake timer runs in the context of the code that advances it.
          const look = bind(() => late.resolve(currentSignal() === scope.signal && currentDeadline() === undefined))
          setTimeout(look, 50)
        }, 100)
      })
      await vi.advanceTimersByTimeAsync(50)

      expect(await late.promise).toBe(true)
    })
  })

  it('does not reach the tasks that its function spawns: they outlive it', async () => {
    const group = new TaskGroup()
    let task: { signal: AbortSignal; deadline: number | undefined } | undefined

    const outcome = settled(
      runInScope(
        () =>
          withTimeout(() => {
            task = spawn(() => never)
            return never
          }, 100),
        { group, deadline: Date.now() + 10_000 },
      ),
    )
    await vi.advanceTimersByTimeAsync(100)

    expect(outcome.error).toMatchObject({ code: 'LCTX_TIMEOUT' })
    expect([task?.signal.aborted, task?.deadline]).toEqual([false, undefined])
  })

  it.each([
    ['no function', () => withTimeout(1 as never, 100), 'expected a function, got 1.'],
    ['no limit', () => withTimeout(() => {}, undefined as never), 'expected a number of at least 0, got undefined.'],
    ['a negative limit', () => withTimeout(() => {}, -1), 'expected a number of at least 0, got -1.'],
    [
      'an unknown option',
      () => withTimeout(() => {}, 100, { ms: 1 } as never),
      "unknown option 'ms', expected one of: name.",
    ],
    ['a name of nothing', () => withTimeout(() => {}, 100, { name: '' }), "option 'name' expected a string of at"],
  ])('rejects with a TypeError for %s', async (_name, call, message) => {
    await expect(call()).rejects.toThrow(TypeError)
    await expect(call()).rejects.toThrow(`withTimeout: ${message}`)
  })

  it('aborts what goes on after the call around it with the request around both', async () => {
    const open = Promise.withResolvers<void>()
    const gone = new Error('gone')

    const seen = await runInScope(async (scope) => {
      let signal: AbortSignal | undefined
      await withTimeout(() => {
        void withTimeout((limit) => {
          ;({ signal } = limit)
          return open.promise
        }, 60_000)
      }, 60_000)
      scope.abort(gone)
      return signal?.reason as unknown
    })

    expect(seen).toBe(gone)
    open.resolve()
  })

  it.each<[name: string, look: (limit: CancelScope) => void]>([
    ['whose signal was read before', (limit) => void limit.signal],
    ['whose signal no code has read', () => {}],
  ])('ends what goes on after the call around it with the limit around both: a call %s', async (_, look) => {
    const left: { limit?: CancelScope; outcome?: { error?: unknown } } = {}

    const outer = settled(
      runInScope(() =>
        withTimeout(async () => {
          await withTimeout(() => {
            const call = withTimeout((limit) => {
              look(limit)
              left.limit = limit
              return never
            }, 60_000)
            left.outcome = settled(call)
          }, 60_000)
          await never
        }, 100),
      ),
    )
    await vi.advanceTimersByTimeAsync(100)

    expect(outer.error).toMatchObject({ code: 'LCTX_TIMEOUT' })
    expect([left.outcome?.error, left.limit?.signal.reason]).toEqual([outer.error, outer.error])
  })
})

/** What a promise has come to so far. */
function settled(promise: Promise<unknown>): { value?: unknown; error?: unknown } {
  const outcome: { value?: unknown; error?: unknown } = {}
  promise.then(
    (value) => (outcome.value = value),
    (error: unknown) => (outcome.error = error),
  )
  return outcome
}
