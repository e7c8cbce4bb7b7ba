// What CPython asserts of asyncio.TaskGroup, in Lib/test/test_asyncio/test_taskgroups.py (3.14), each behaviour under the
// name of its test. There a task is cancelled by an exception at its next await; here by its signal, which work that
// can be stopped obeys: the tests of ours await it. Not taken over: what Python's KeyboardInterrupt, counts of
// references and levels of cancelling do.
import { ContextVar, current, runInScope, withTaskGroup } from 'logical-context'
import { describe, expect, it } from 'vitest'

const zero = new Error('1/0')
const other = new Error('MyExc')
const gone = new Error('cancelled from outside')

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Stands for any awaited work that obeys a signal: never ends by itself, and fails with the signal's reason. */
function obey({ signal }: { readonly signal: AbortSignal }): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error)
    else signal.addEventListener('abort', () => reject(signal.reason as Error))
  })
}

/** Fails a few turns later. */
async function crash(error: Error = zero): Promise<void> {
  await turn()
  throw error
}

/** Obeys, and fails with an error of its own in doing so. */
async function crashWhenCancelled(work: { readonly signal: AbortSignal }, error: Error): Promise<void> {
  try {
    await obey(work)
  } catch {
    throw error
  }
}

/** What a call fails with; of a group of failures, its list. */
async function failureOf(call: Promise<unknown>): Promise<unknown> {
  const error: unknown = await call.then(
    () => 'none',
    (error: unknown) => error,
  )
  return error instanceof AggregateError ? error.errors : error
}

/** What a unit fails with in which a group runs, when the unit is cancelled meanwhile. */
function failureWhenCancelled(call: () => Promise<unknown>): Promise<unknown> {
  return runInScope(async (scope) => {
    const failure = failureOf(call())
    await turn()
    scope.abort(gone)
    return failure
  })
}

describe('asyncio.TaskGroup in CPython', () => {
  it('test_taskgroup_01: leaves when all tasks have ended, whose results are there then', async () => {
    const [first, second] = await withTaskGroup((group) => [
      group.spawn(() => turn().then(() => 42)),
      group.spawn(() =>
        turn()
          .then(turn)
          .then(() => 11),
      ),
    ])

    expect([await first?.result(), await second?.result()]).toEqual([42, 11])
  })

  it('test_taskgroup_02: takes tasks as long as its body runs', async () => {
    const second = await withTaskGroup(async (group) => {
      group.spawn(() => 42)
      await turn()
      return group.spawn(() => 11)
    })

    expect(await second.result()).toBe(11)
  })

  it('test_taskgroup_03: continues when one task is cancelled by hand', async () => {
    const [first, second] = await withTaskGroup(async (group) => {
      const first = group.spawn(obey)
      await turn()
      first.abort(gone)
      return [first, group.spawn(() => turn().then(() => 11))]
    })

    expect([await failureOf(first?.result() as Promise<unknown>), await second?.result()]).toEqual([gone, 11])
  })

  it('test_taskgroup_04: cancels the others when one fails, and fails with that failure only', async () => {
    const aborted: boolean[] = []

    const failure = await failureOf(
      withTaskGroup((group) => {
        group.spawn(() => crash())
        group.spawn((task) => obey(task).finally(() => aborted.push(task.signal.aborted)))
      }),
    )

    expect([failure, aborted]).toEqual([[zero], [true]])
  })

  it('test_cancel_children_on_child_error: cancels the body too', async () => {
    const aborted: boolean[] = []

    const failure = await failureOf(
      withTaskGroup(async (group) => {
        for (const error of [zero, other]) group.spawn(() => crash(error))
        await obey(group).finally(() => aborted.push(group.signal.aborted))
      }),
    )

    expect([failure, aborted]).toEqual([[zero, other], [true]])
  })

  it('test_cancellation: is cancelled with the work that it is a part of, and fails with the reason', async () => {
    let aborted = 0

    const failure = await failureWhenCancelled(() =>
      withTaskGroup((group) => {
        for (let i = 0; i < 5; i++) group.spawn((task) => obey(task).finally(() => aborted++))
      }),
    )

    expect([failure, aborted]).toEqual([gone, 5])
  })

  it('test_taskgroup_07: is cancelled with its body', async () => {
    let aborted = 0

    const failure = await failureWhenCancelled(() =>
      withTaskGroup(async (group) => {
        for (let i = 0; i < 5; i++) group.spawn((task) => obey(task).finally(() => aborted++))
        await obey(group).finally(() => (aborted += 10))
      }),
    )

    expect([failure, aborted]).toEqual([gone, 15])
  })

  it('test_taskgroup_08: fails with what its tasks fail with while they are being cancelled', async () => {
    const failure = await failureWhenCancelled(() =>
      withTaskGroup(async (group) => {
        group.spawn((task) => crashWhenCancelled(task, zero))
        group.spawn((task) => crashWhenCancelled(task, other))
        await obey(group)
      }),
    )

    expect(failure).toEqual([zero, other])
  })

  it.each([
    ['test_taskgroup_09: fails with its body, and cancels its tasks', true],
    ['test_taskgroup_10: the same when the body fails before its first await', false],
  ])('%s', async (_, later) => {
    let aborted = 0

    const failure = await failureOf(
      withTaskGroup(async (group) => {
        for (let i = 0; i < 2; i++) group.spawn((task) => obey(task).finally(() => aborted++))
        if (later) await turn()
        throw zero
      }),
    )

    expect([failure, aborted]).toEqual([[zero], 2])
  })

  it('test_taskgroup_11 and 12: a group in a group: the failures of the inner one are one failure of the outer', async () => {
    const failure = (await failureWhenCancelled(() =>
      withTaskGroup(async (outer) => {
        outer.spawn(obey)
        await withTaskGroup(async (inner) => {
          inner.spawn((task) => crashWhenCancelled(task, zero))
          await obey(inner)
        })
      }),
    )) as AggregateError[]

    expect(failure.map(({ errors }) => errors as unknown)).toEqual([[zero]])
  })

  it('test_taskgroup_13: a failure in the outer group cancels the inner one, and is the only one', async () => {
    // In a unit: outside of any there is no current signal by which the outer group could stop the inner one.
    const failure = await runInScope(() =>
      failureOf(
        withTaskGroup(async (outer) => {
          outer.spawn(() => crash())
          await withTaskGroup((inner) => void inner.spawn(obey))
        }),
      ),
    )

    expect(failure).toEqual([zero])
  })

  it('test_taskgroup_14: a failure in the inner group cancels the outer one', async () => {
    const failure = (await failureOf(
      withTaskGroup(async (outer) => {
        outer.spawn(obey)
        await withTaskGroup((inner) => void inner.spawn(() => crash()))
      }),
    )) as AggregateError[]

    expect(failure.map(({ errors }) => errors as unknown)).toEqual([[zero]])
  })

  it('test_taskgroup_15 and 16: a task fails while the cancelled body takes its time: the failure counts', async () => {
    const failure = await failureWhenCancelled(() =>
      withTaskGroup(async (group) => {
        const aborted = obey(group)
        group.spawn(() => aborted.catch(() => crash()))
        await aborted.catch(async (error: unknown) => {
          for (let i = 0; i < 5; i++) await turn()
          throw error
        })
      }),
    )

    expect(failure).toEqual([zero])
  })

  it('test_taskgroup_17: a group without tasks is cancelled with its body', async () => {
    expect(await failureWhenCancelled(() => withTaskGroup(obey))).toBe(gone)
  })

  it('test_taskgroup_18: a body that fails with an error of its own when it is cancelled fails the group', async () => {
    const failure = await failureWhenCancelled(() => withTaskGroup((group) => crashWhenCancelled(group, other)))

    expect(failure).toEqual([other])
  })

  it('test_taskgroup_19: fails with both, its task’s failure and its body’s', async () => {
    const failure = await failureOf(
      withTaskGroup((group) => {
        group.spawn(() => crash())
        return crashWhenCancelled(group, other)
      }),
    )

    expect(failure).toEqual([zero, other])
  })

  // create_task(…, context=ctx) lets tasks write one Context there. Here tasks of a group never write their spawner's
  // values, whatever the context: writes that are to be shared are results, or a task under `share`.
  it('test_taskgroup_context: differs, a task inherits, and its result is what it found', async () => {
    const variable = new ContextVar<number>('cvar')

    const seen = await runInScope(async () => {
      variable.set(1)
      const before = current()
      const task = await withTaskGroup((group) =>
        group.spawn(async () => {
          await turn()
          variable.set(variable.get() === 1 ? 2 : 0)
          return variable.get()
        }),
      )
      return [await task.result(), variable.get(), before.get(variable)]
    })

    expect(seen).toEqual([2, 1, 1])
  })

  // What a body awaits is part of the caller, there as here.
  it('the body of a group shares: what it sets is seen by the caller', async () => {
    const variable = new ContextVar<number>('cvar')

    const seen = await runInScope(async () => {
      await withTaskGroup(async () => {
        await turn()
        variable.set(42)
      })
      return variable.get()
    })

    expect(seen).toBe(42)
  })

  // There it is a RuntimeError. Here the task begins, for its start is on the spawner's stack and JavaScript cannot
  // cancel it: it finds its signal aborted, and the group waits for it.
  it('test_taskgroup_no_create_task_after_failure: differs, such a task finds its signal aborted', async () => {
    const seen: boolean[] = []

    const failure = await failureOf(
      withTaskGroup((group) => {
        group.spawn(() => crash())
        group.spawn((task) =>
          obey(task).finally(() => {
            group.spawn(({ signal }) => seen.push(signal.aborted))
          }),
        )
      }),
    )

    expect([failure, seen]).toEqual([[zero], [true]])
  })

  it('test_taskgroup_finished: takes no tasks after its end', async () => {
    const group = await withTaskGroup((group) => group)

    expect(() => group.spawn(() => {})).toThrow(expect.objectContaining({ code: 'LCTX_GROUP_CLOSED' }))
  })
})
