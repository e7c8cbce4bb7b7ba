import { once } from 'node:events'
import {
  ContextVar,
  currentDeadline,
  currentSignal,
  isolateGenerator,
  type RequestScope,
  run,
  LogicalContext,
  runInScope,
  spawn,
  TaskGroup,
  withTaskGroup,
  withTimeout,
} from 'logical-context'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { sleep } from './sleep.ts'

const user = new ContextVar<string>('user')
const tick = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('currentSignal', () => {
  it('is undefined outside any unit', () => {
    expect([currentSignal(), run(LogicalContext.empty, currentSignal)]).toEqual([undefined, undefined])
  })

  it('is the request’s in a request, and in its blocks', () => {
    runInScope((scope) => {
      expect(currentSignal()).toBe(scope.signal)
      user.run('ada', () => expect(currentSignal()).toBe(scope.signal))
    })
  })

  it('is the task’s in a task, which the request does not abort', async () => {
    const seen = await runInScope((scope) => {
      const spawned = spawn(async (task) => {
        const signal = currentSignal()
        await tick()
        return [signal === task.signal, currentSignal() === signal, signal?.aborted]
      })
      scope.abort(new Error('gone'))
      return spawned.result()
    })

    expect(seen).toEqual([true, true, false])
  })

  it('is another one for each call that runs at the same time in one unit', async () => {
    const [slow, quick, own] = await runInScope(async (scope) => {
      const look = async () => {
        await tick()
        const signal = currentSignal()
        await tick()
        return signal === currentSignal() ? signal : undefined
      }
      return [...(await Promise.all([withTimeout(look, 10_000), withTimeout(look, 20_000), look()])), scope].slice(0, 3)
    })

    expect(new Set([slow, quick, own]).size).toBe(3)
  })

  it('is that of the code that drives a generator', async () => {
    const seen = await runInScope(async (scope) => {
      const steps = isolateGenerator(function* () {
        while (true) yield currentSignal()
      })()
      const inside = await withTimeout(async ({ signal }) => {
        const step = steps.next().value === signal
        await once(signal, 'abort')
        return step
      }, 1).catch(() => steps.next().value)
      return [inside === scope.signal, scope.signal.aborted]
    })

    expect(seen).toEqual([true, false])
  })

  it('is made only when it is read, and once', () => {
    const made = vi.spyOn(globalThis, 'AbortController')

    runInScope(() => spawn(() => {}))
    const unread = made.mock.calls.length
    runInScope(() => expect(currentSignal()).toBe(currentSignal()))

    expect([unread, made.mock.calls.length]).toEqual([0, 1])
    made.mockRestore()
  })
})

describe('an abort', () => {
  const seenBy = (signal: AbortSignal | undefined) => {
    const seen = Promise.withResolvers<unknown>()
    signal?.addEventListener('abort', () => seen.resolve(user.get()))
    return seen.promise
  }

  it('calls the listeners of a task in the task’s context, also if other code aborts it', async () => {
    const group = new TaskGroup()
    let seen: Promise<unknown> | undefined
    runInScope(() => {
      user.set('ada')
      group.spawn(async ({ signal }) => {
        user.set('task')
        await (seen = seenBy(signal))
      })
    })

    await runInScope(() => {
      user.set('who drains')
      return group.drain({ timeoutMs: 0 })
    })

    expect(await seen).toBe('task')
  })

  it('calls those of a request in the request’s, and those in a scope in the caller’s', async () => {
    const seen: Promise<unknown>[] = []
    let request: RequestScope | undefined
    const open = Promise.withResolvers<void>()
    const ended = runInScope(async (scope) => {
      request = scope
      user.set('ada')
      seen.push(seenBy(scope.signal))
      await withTimeout(({ signal }) => {
        seen.push(seenBy(signal))
        return open.promise
      }, 10_000)
    })

    runInScope(() => {
      user.set('who aborts')
      request?.abort(new Error('gone'))
    })
    open.resolve()

    expect(await Promise.all(seen)).toEqual(['ada', 'ada'])
    await ended
  })

  it('calls those of a scope outside any unit in none', async () => {
    let seen: Promise<unknown> | undefined

    await withTaskGroup((group) => {
      seen = seenBy(group.signal)
      group.spawn(() => {
        user.set('who fails')
        throw new Error('boom')
      })
    }).catch(() => {})

    expect(await seen).toBeUndefined()
  })

  it('calls those of a sibling in the sibling’s', async () => {
    let seen: Promise<unknown> | undefined

    await withTaskGroup((group) => {
      group.spawn(async ({ signal }) => {
        user.set('sibling')
        seen = seenBy(signal)
        await tick()
        await tick()
      })
      group.spawn(async () => {
        user.set('who fails')
        await tick()
        throw new Error('boom')
      })
    }).catch(() => {})

    expect(await seen).toBe('sibling')
  })
})

describe('currentDeadline', () => {
  it('is undefined outside any unit', () => {
    expect(currentDeadline()).toBeUndefined()
  })

  it('is the earliest of the request’s and the limits around the code', async () => {
    const deadline = Date.now() + 10_000
    const deadlines = await runInScope(
      async () => [
        currentDeadline(),
        await withTimeout(() => currentDeadline(), 60_000),
        ((await withTimeout(() => currentDeadline(), 1_000)) ?? Infinity) < deadline,
      ],
      { deadline },
    )

    expect(deadlines).toEqual([deadline, deadline, true])
  })

  it('is not the request’s in a task, unless an option requests it', async () => {
    const deadline = Date.now() + 10_000
    const deadlines = await runInScope(
      () =>
        Promise.all([
          spawn(() => currentDeadline()).result(),
          spawn(() => currentDeadline(), { cancelWith: 'request' }).result(),
          spawn(() => currentDeadline(), { policy: 'share' }).result(),
          withTaskGroup((group) => group.spawn(() => currentDeadline()).result()),
        ]),
      { deadline },
    )

    expect(deadlines).toEqual([undefined, deadline, deadline, deadline])
  })
})

describe('the deadline of a request', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('aborts its signal, and the tasks with the option', async () => {
    const open = Promise.withResolvers<void>()
    const signals: (AbortSignal | undefined)[] = []
    const ended = runInScope(
      async (scope) => {
        signals.push(scope.signal, spawn(() => open.promise, { cancelWith: 'request' }).signal)
        signals.push(spawn(() => open.promise).signal)
        await open.promise
      },
      { name: 'GET /', deadline: Date.now() + 100, group: new TaskGroup() },
    )

    await vi.advanceTimersByTimeAsync(99)
    const before = signals.map((signal) => signal?.aborted)
    await vi.advanceTimersByTimeAsync(1)

    expect(before).toEqual([false, false, false])
    expect(signals.map((signal) => signal?.reason as unknown)).toMatchObject([
      { code: 'LCTX_DEADLINE', message: expect.stringMatching(/^The deadline of 'GET \/' is over\./) },
      { code: 'LCTX_DEADLINE' },
      undefined,
    ])
    open.resolve()
    await ended
  })

  it('costs no timer until code reads the signal or follows it', async () => {
    const timers: number[] = []
    const now = Date.now()

    const ended = runInScope(
      (scope) => {
        scope.expireAt(now + 50)
        timers.push(vi.getTimerCount())
        void scope.signal
        timers.push(vi.getTimerCount())
        return scope
      },
      { deadline: now + 100 },
    )
    timers.push(vi.getTimerCount())
    void ended.signal
    timers.push(vi.getTimerCount())

    expect(timers).toEqual([0, 1, 0, 0])
  })

  it('costs no timer any more when the request is aborted', () => {
    const timers = runInScope(
      (scope) => {
        const before = [scope.signal, vi.getTimerCount()]
        scope.abort(new Error('gone'))
        return [...before, vi.getTimerCount(), scope.signal, vi.getTimerCount()]
      },
      { deadline: Date.now() + 100 },
    )

    expect(timers).toEqual([expect.anything(), 1, 0, timers[0], 0])
  })

  it('stays with who has read the signal when a task has ended that was cancelled with it', async () => {
    const open = Promise.withResolvers<void>()
    let signal: AbortSignal | undefined
    const ended = runInScope(
      async (scope) => {
        ;({ signal } = scope)
        spawn(() => {}, { cancelWith: 'request' })
        await open.promise
      },
      { deadline: Date.now() + 100 },
    )

    await vi.advanceTimersByTimeAsync(100)

    expect(signal?.reason).toMatchObject({ code: 'LCTX_DEADLINE' })
    open.resolve()
    await ended
  })

  it('does not keep the process alive, as a limit does', async () => {
    vi.useRealTimers()
    const keptAlive = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const stop = new AbortController()
    const before = keptAlive()

    const waiting = runInScope(
      ({ signal }) => {
        expect(signal.aborted).toBe(false)
        return keptAlive()
      },
      { deadline: Date.now() + 60_000 },
    )
    const slept = sleep(60_000, { signal: stop.signal }).catch(() => {})
    const sleeping = keptAlive()
    stop.abort()
    await slept

    expect([waiting - before, sleeping - before]).toEqual([0, 1])
  })

  it('ends with the request, also for tasks that are cancelled with it and for calls that continue', async () => {
    const open = Promise.withResolvers<void>()
    const left: { signal: AbortSignal }[] = []
    const outcome = runInScope(
      (scope) => {
        left.push(
          spawn(({ signal }) => open.promise.then(() => signal), { cancelWith: 'request' }),
          scope,
        )
        const call = withTimeout((inside) => {
          left.push(inside)
          return open.promise.then(() => currentDeadline())
        }, 60_000)
        return { call, signals: left.map(({ signal }) => signal) }
      },
      { deadline: Date.now() + 100, group: new TaskGroup() },
    )

    const timers = vi.getTimerCount()
    await vi.advanceTimersByTimeAsync(200)
    open.resolve()

    // The limit of the call has a timer of its own.
    expect(timers).toBe(1)
    expect(outcome.signals.map(({ aborted }) => aborted)).toEqual([false, false, false])
    expect(await outcome.call).toBe(Date.now() - 200 + 60_000)
  })

  it('is the earlier one of two, also if code already waits for the later one', async () => {
    let signal: AbortSignal | undefined
    const open = Promise.withResolvers<void>()
    const now = Date.now()
    const ended = runInScope(
      async (scope) => {
        ;({ signal } = scope)
        scope.expireAt(now + 50)
        scope.expireAt(now + 70)
        expect(scope.deadline).toBe(now + 50)
        await open.promise
      },
      { deadline: now + 100 },
    )

    await vi.advanceTimersByTimeAsync(50)

    expect(signal?.reason).toMatchObject({ code: 'LCTX_DEADLINE' })
    open.resolve()
    await ended
  })

  it.each([1, 0])('that is over since %i ms has aborted the signal when it is read', (ms) => {
    runInScope(({ signal }) => expect(signal.reason).toMatchObject({ code: 'LCTX_DEADLINE' }), {
      deadline: Date.now() - ms,
    })
  })
})
