import { getEventListeners } from 'node:events'
import { runInScope, spawn, type SpawnOptions, type Task, TaskGroup, withTaskGroup } from 'logical-context'
import { describe, expect, it, vi } from 'vitest'

const reason = new Error('the client is gone')

describe('the signal of a task', () => {
  it('is one, whenever it is read, and not aborted by itself', () => {
    const task = runInScope(() => spawn(() => {}))

    expect(task.signal).toBe(task.signal)
    expect(task.signal.aborted).toBe(false)
  })

  it('is aborted by task.abort() with a reason that names the task', () => {
    const task = pending({ name: 'sendReceipt' })

    task.abort()

    expect(task.signal.reason).toMatchObject({ name: 'AbortError', message: "The task 'sendReceipt' was aborted." })
  })

  it('keeps its first reason, also where it is read only later', () => {
    const [early, late] = [pending(), pending()]
    const seen = early.signal

    for (const task of [early, late]) {
      task.abort(reason)
      task.abort(new Error('another'))
    }

    expect([seen.reason, early.signal.reason, late.signal.reason]).toEqual([reason, reason, reason])
    expect(late.signal.aborted).toBe(true)
  })

  it('aborts once for each listener', () => {
    const task = pending()
    const listener = vi.fn()
    task.signal.addEventListener('abort', listener)

    task.abort(reason)
    task.abort(reason)

    expect(listener).toHaveBeenCalledOnce()
  })
})

describe('the request’s abort', () => {
  it('does not reach its tasks: they outlive a hang-up', () => {
    const tasks = runInScope((scope) => {
      const spawned = (['inherit', 'isolate', { only: [] }] as const).map((policy) => pending({ policy }))
      scope.abort(reason)
      return spawned
    })

    expect(tasks.map((task) => task.signal.aborted)).toEqual([false, false, false])
  })

  it('reaches those with the option, whatever their policy', () => {
    const tasks = runInScope((scope) => {
      const spawned = (['inherit', 'isolate', { only: [] }, 'share'] as const).map((policy) =>
        pending({ policy, cancelWith: 'request' }),
      )
      scope.abort(reason)
      return spawned
    })

    expect(tasks.map((task) => task.signal.reason)).toEqual([reason, reason, reason, reason])
  })

  it('reaches a shared task, which is part of the request', () => {
    const task = runInScope((scope) => {
      const shared = pending({ policy: 'share' })
      scope.abort(reason)
      return shared
    })

    expect(task.signal.reason).toBe(reason)
  })

  it('reaches a task that was spawned after it', () => {
    const task = runInScope((scope) => {
      scope.abort(reason)
      return pending({ cancelWith: 'request' })
    })

    expect(task.signal.reason).toBe(reason)
  })

  it('is passed on by a task that is itself cancelled with the request', async () => {
    const seen = await runInScope(async (scope) => {
      const outer = spawn(() => pending({ cancelWith: 'request' }), { cancelWith: 'request' })
      const inner = await outer.result()
      scope.abort(reason)
      return inner.signal.reason as unknown
    })

    expect(seen).toBe(reason)
  })

  it('is passed on by a task of a group that is cancelled with the request', async () => {
    const seen = await runInScope((scope) =>
      withTaskGroup(async (group) => {
        const inner = await group.spawn(() => pending({ cancelWith: 'request' })).result()
        scope.abort(reason)
        return inner.signal.reason as unknown
      }),
    )

    expect(seen).toBe(reason)
  })

  it('throws in a group outside any request', async () => {
    const outcome = await withTaskGroup((group) => {
      group.spawn(() => pending({ cancelWith: 'request' }))
    }).catch((error: unknown) => error)

    expect(outcome).toMatchObject({
      errors: [
        expect.objectContaining({
          name: 'TypeError',
          message: expect.stringMatching(
            /^spawn: option 'cancelWith' expected a request to cancel with, got 'request' where there is no request\./,
          ),
        }),
      ],
    })
  })

  it('reaches who has kept a group’s signal, also when tasks of the group have ended', async () => {
    const seen = await runInScope((scope) =>
      withTaskGroup(async (group) => {
        const { signal } = group
        await group.spawn(() => {}).result()
        scope.abort(reason)
        return signal.reason as unknown
      }),
    )

    expect(seen).toBe(reason)
  })

  it('throws in a task that does not depend on the request', async () => {
    const onError = vi.fn()
    const group = new TaskGroup({ onError })

    runInScope(() => spawn(() => pending({ cancelWith: 'request' })), { group })
    group.spawn(() => pending({ cancelWith: 'request' }))

    expect(onError.mock.calls.map(([error]) => String(error))).toEqual([
      expect.stringMatching(
        /^TypeError: spawn: option 'cancelWith' expected a request to cancel with, got 'request'.* A task passes on a request only if /,
      ),
      expect.stringMatching(
        /^TypeError: spawn: option 'cancelWith' expected a request to cancel with, got 'request'.* A task passes on a request only if /,
      ),
    ])
    expect(() => group.spawn(() => {}, { cancelWith: 'request' })).toThrow(TypeError)
    expect(group.tasks.length).toBe(0)
  })

  it('does not reach one that has ended', async () => {
    const task = await runInScope(async (scope) => {
      const ended = spawn(() => Promise.resolve(), { cancelWith: 'request' })
      await ended.result()
      scope.abort(reason)
      return ended
    })

    expect(task.signal.aborted).toBe(false)
  })
})

describe('cancelWith a signal', () => {
  it('aborts the task with the signal’s reason', () => {
    const controller = new AbortController()
    const task = pending({ cancelWith: controller.signal })

    controller.abort(reason)

    expect(task.signal.reason).toBe(reason)
  })

  it('aborts at once with a signal that has aborted before, and still runs the function', () => {
    const seen = runInScope(() =>
      spawn(({ signal }) => signal.reason as unknown, { cancelWith: AbortSignal.abort(reason) }).result(),
    )

    return expect(seen).resolves.toBe(reason)
  })

  it('needs one listener on the signal for ten thousand tasks', () => {
    const controller = new AbortController()
    const tasks = Array.from({ length: 10_000 }, () => pending({ cancelWith: controller.signal }))

    const listeners = getEventListeners(controller.signal, 'abort').length
    controller.abort(reason)

    expect(listeners).toBe(1)
    expect(tasks.every((task) => task.signal.reason === reason)).toBe(true)
  })

  it('keeps no reference to tasks that have ended', async () => {
    const controller = new AbortController()
    const [ended, running] = [pending({ cancelWith: controller.signal }), pending({ cancelWith: controller.signal })]
    end(ended)
    await ended.result()

    controller.abort(reason)

    expect([ended.signal.aborted, running.signal.aborted]).toEqual([false, true])
  })

  it('does not reach siblings, nor tasks of the task', async () => {
    const controller = new AbortController()
    const children: Task[] = []
    runInScope(() => {
      spawn(() => children.push(pending()), { cancelWith: controller.signal })
      children.push(pending())
    })

    controller.abort(reason)

    expect(children.map((task) => task.signal.aborted)).toEqual([false, false])
  })

  it('does not go round and round where an abort begins new work with the same signal', () => {
    const controller = new AbortController()
    const restarted: Task[] = []
    const task = pending({ cancelWith: controller.signal })
    task.signal.addEventListener('abort', () => restarted.push(pending({ cancelWith: controller.signal })))

    controller.abort(reason)

    expect(restarted.map(({ signal }) => signal.aborted)).toEqual([true])
  })
})

const ends = new WeakMap<Task, () => void>()

/** A task that runs until `end` is called for it. */
function pending(options?: SpawnOptions): Task {
  const { promise, resolve } = Promise.withResolvers<unknown>()
  const task = new TaskGroup().spawn(() => promise, options)
  ends.set(task, () => resolve(undefined))
  return task
}

function end(task: Task): void {
  ends.get(task)?.()
}
