import {
  bind,
  ContextVar,
  currentSignal,
  runInScope,
  spawn,
  type StructuredTaskGroup,
  TaskGroup,
  withTaskGroup,
} from 'logical-context'
import { describe, expect, it } from 'vitest'
import { sleep } from './sleep.ts'

const user = new ContextVar<string>('user')
const boom = new Error('boom')

const tick = () => new Promise<void>((resolve) => setImmediate(resolve))
const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })

describe('withTaskGroup', () => {
  it('resolves with the body’s value when the last task has ended, those included that tasks have spawned', async () => {
    const events: string[] = []

    const value = await withTaskGroup(async (group) => {
      group.spawn(async () => {
        await tick()
        group.spawn(async () => {
          await tick()
          events.push('grandchild')
        })
        events.push('child')
      })
      events.push('body')
      return 'value'
    })
    events.push(value)

    expect(events).toEqual(['body', 'child', 'grandchild', 'value'])
  })

  it('aborts siblings and body at the first failure, and reports that once', async () => {
    const reasons: unknown[] = []

    const outcome = await failureOf(
      withTaskGroup(
        async (group) => {
          group.spawn(async ({ signal }) => {
            await untilAborted(signal).catch((reason: unknown) => {
              reasons.push(reason)
              throw reason
            })
          })
          const child = group.spawn(() => tick().then(() => Promise.reject(boom)), { name: 'reindex' })
          await child.result().catch(() => {})
          reasons.push(group.signal.reason)
          await child.result()
        },
        { name: 'orders' },
      ),
    )

    expect(outcome).toMatchObject({ name: 'AggregateError', errors: [boom] })
    expect(outcome).toMatchObject({ message: "1 failed in 'orders', see 'errors'. The first: boom" })
    expect(reasons).toMatchObject([
      {
        code: 'LCTX_CANCELLED',
        message:
          "The work of 'orders' was cancelled, because the task 'reindex' failed. Stop: no code uses its result.",
      },
      { code: 'LCTX_CANCELLED', cause: boom },
    ])
  })

  it('takes an "aborted" for a failure if the task was not aborted', async () => {
    const own = new DOMException('an abort of its own', 'AbortError')

    const outcome = await failureOf(
      withTaskGroup((group) => {
        group.spawn(({ signal }) => {
          expect(signal.aborted).toBe(false)
          throw own
        })
      }),
    )

    expect(outcome).toMatchObject({ errors: [own] })
  })

  it('collects all failures, and leaves only when the last task has ended', async () => {
    const events: string[] = []
    const second = new Error('second')

    const outcome = await failureOf(
      withTaskGroup((group) => {
        group.spawn(() => Promise.reject(boom))
        group.spawn(async ({ signal }) => {
          await untilAborted(signal).catch(() => {})
          await tick()
          events.push('cleaned up')
          throw second
        })
      }),
    )
    events.push('left')

    expect(outcome).toMatchObject({ errors: [boom, second] })
    expect(events).toEqual(['cleaned up', 'left'])
  })

  it('aborts its tasks when the body fails, also at once', async () => {
    const reasons: unknown[] = []
    const outcomes = await Promise.all(
      [
        () => {
          throw boom
        },
        () => Promise.reject(boom),
      ].map((fail) =>
        failureOf(
          withTaskGroup((group) => {
            group.spawn(({ signal }) => untilAborted(signal).catch((reason: unknown) => reasons.push(reason)))
            return fail()
          }),
        ),
      ),
    )

    const reason = {
      message: expect.stringMatching(/^The work of 'withTaskGroup' was cancelled, because its body failed\./),
      cause: boom,
    }
    expect(outcomes).toMatchObject([{ errors: [boom] }, { errors: [boom] }])
    expect(reasons).toMatchObject([reason, reason])
  })

  it('starts what is spawned after a failure with an aborted signal', async () => {
    const seen: boolean[] = []

    await failureOf(
      withTaskGroup((group) => {
        group.spawn(() => {
          throw boom
        })
        group.spawn(({ signal }) => seen.push(signal.aborted))
      }),
    )

    expect(seen).toEqual([true])
  })

  it('takes no task after its end', async () => {
    let kept: StructuredTaskGroup | undefined
    await withTaskGroup((group) => {
      kept = group
    })

    expect(() => kept?.spawn(() => {})).toThrow(expect.objectContaining({ code: 'LCTX_GROUP_CLOSED' }))
  })

  it('leaves the caller’s signal to what goes on after its end', async () => {
    const seen = await runInScope(async (scope) => {
      const look = await withTaskGroup(() => bind(() => currentSignal() === scope.signal))
      return look()
    })

    expect(seen).toBe(true)
  })

  it('keeps no task that has ended', async () => {
    const sizes = await withTaskGroup(async (group) => {
      for (let i = 0; i < 100; i++) await group.spawn(() => tick()).result()
      return [group.tasks.length, group.counters.ended]
    })

    expect(sizes).toEqual([0, 100])
  })

  it('rejects with the caller’s reason where an abort of the caller has cut work off', async () => {
    const gone = new Error('gone')

    const outcome = await failureOf(
      runInScope((scope) =>
        withTaskGroup(async (group) => {
          group.spawn(({ signal }) => untilAborted(signal))
          await tick()
          scope.abort(gone)
        }),
      ),
    )

    expect(outcome).toBe(gone)
  })

  it('rejects with it also where all that was cut off had not begun', async () => {
    const gone = new Error('gone')
    const begun: string[] = []

    const outcome = await failureOf(
      runInScope((scope) =>
        withTaskGroup(
          (group) => {
            group.spawn(async () => {
              begun.push('first')
              await tick()
            })
            group.spawn(() => begun.push('second'))
            scope.abort(gone)
          },
          { maxConcurrent: 1 },
        ),
      ),
    )

    expect(outcome).toBe(gone)
    expect(begun).toEqual(['first'])
  })

  it('rejects with it also if the body fails with it, and no code has read a signal of the group', async () => {
    const gone = new Error('gone')

    const outcome = await failureOf(
      runInScope((scope) =>
        withTaskGroup(() => {
          scope.abort(gone)
          scope.signal.throwIfAborted()
        }),
      ),
    )

    expect(outcome).toBe(gone)
  })

  it('resolves where an abort of the caller comes too late to cut anything off', async () => {
    const value = await runInScope((scope) =>
      withTaskGroup(async (group) => {
        group.spawn(() => tick())
        scope.abort(new Error('gone'))
        return 'value'
      }),
    )

    expect(value).toBe('value')
  })

  it('allows one task to be aborted without the others', async () => {
    const value = await withTaskGroup(async (group) => {
      const heartbeat = group.spawn(({ signal }) => untilAborted(signal))
      const signals = [group.signal, group.spawn(() => tick()).signal]
      heartbeat.abort()
      await tick()
      return signals.map(({ aborted }) => aborted)
    })

    expect(value).toEqual([false, false])
  })

  it('is not affected by the failure of a task with its own onError', async () => {
    const told: unknown[] = []

    await withTaskGroup((group) => {
      group.spawn(() => Promise.reject(boom), { onError: (error) => told.push(error) })
    })

    expect(told).toEqual([boom])
  })

  it('inherits whatever the policy of the route is', async () => {
    const seen = await runInScope(
      () => {
        user.set('ada')
        return withTaskGroup((group) => group.spawn(() => user.get()).result())
      },
      { policy: 'isolate' },
    )

    expect(seen).toBe('ada')
  })

  it('leaves a plain spawn in its tasks to the background group, and does not wait for it', async () => {
    const background = new TaskGroup()
    const open = Promise.withResolvers<void>()

    await runInScope(
      () =>
        withTaskGroup((group) => {
          group.spawn(() => void spawn(() => open.promise, { name: 'receipt' }))
        }),
      { group: background },
    )

    expect(Array.from(background.tasks, ({ name }) => name)).toEqual(['receipt'])
    open.resolve()
  })

  it('keeps to its limits', async () => {
    let running = 0
    let most = 0

    await withTaskGroup(
      (group) => {
        for (let i = 0; i < 20; i++) {
          group.spawn(async () => {
            most = Math.max(most, ++running)
            await tick()
            running--
          })
        }
      },
      { maxConcurrent: 3, maxQueued: 100 },
    )

    expect(most).toBe(3)
  })

  it('passes a failure on through groups in groups, each of which waits for its own', async () => {
    const events: string[] = []

    const outcome = await failureOf(
      withTaskGroup((outer) => {
        outer.spawn(() =>
          withTaskGroup(async (inner) => {
            inner.spawn(({ signal }) => untilAborted(signal).catch(() => void events.push('inner task')))
            await sleep(10_000, { signal: inner.signal })
          }).finally(() => events.push('inner left')),
        )
        outer.spawn(() => tick().then(() => Promise.reject(boom)))
      }),
    )

    expect(outcome).toMatchObject({ errors: [boom] })
    expect(events).toEqual(['inner task', 'inner left'])
  })

  it.each([
    ['no function', () => withTaskGroup(1 as never), 'expected a function, got 1.'],
    [
      'an unknown option',
      () => withTaskGroup(() => {}, { policy: 'isolate' } as never),
      "unknown option 'policy', expected one of: name, maxConcurrent",
    ],
    ['a name of nothing', () => withTaskGroup(() => {}, { name: '' }), "option 'name' expected a string of at least"],
    ['a limit of 0', () => withTaskGroup(() => {}, { maxConcurrent: 0 }), "option 'maxConcurrent' expected a whole"],
  ])('rejects with a TypeError for %s', async (_name, call, message) => {
    await expect(call()).rejects.toThrow(TypeError)
    await expect(call()).rejects.toThrow(`withTaskGroup: ${message}`)
  })
})

function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => expect.unreachable(`expected a failure, got ${String(value)}`),
    (error: unknown) => error,
  )
}
