import Fastify from 'fastify'
import { ContextVar, openScope, runInScope, spawn, TaskGroup } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { describe, expect, it, onTestFinished, vi } from 'vitest'

const user = new ContextVar<string>('user')

/** A group that records failures. */
function groupWith(limits: ConstructorParameters<typeof TaskGroup>[0] = {}): { group: TaskGroup; failures: unknown[] } {
  const failures: unknown[] = []
  return { group: new TaskGroup({ ...limits, onError: (error) => failures.push(error) }), failures }
}

describe("spawn with after: 'response'", () => {
  it('starts the task when the response is closed, with the values of the spawn', async () => {
    const events: string[] = []
    const app = Fastify()
    onTestFinished(() => app.close())
    await app.register(logicalContext)
    app.get('/', async (_request, reply) => {
      user.set('ann')
      spawn(() => void events.push(`task for ${user.get()}`), { after: 'response' })
      user.set('bob')
      reply.raw.on('finish', () => events.push('finish'))
      await new Promise((resolve) => setImmediate(resolve))
      events.push('reply')
      return {}
    })
    const url = await app.listen({ port: 0, host: '127.0.0.1' })

    await (await fetch(url)).text()
    await app.close()

    expect(events).toEqual(['reply', 'finish', 'task for ann'])
  })

  it('starts the task at the close of a scope without a response, and at once after the close', async () => {
    const { group } = groupWith()
    const events: string[] = []
    const scope = openScope('job', { group })

    scope.run(() => {
      spawn(() => events.push('task'), { after: 'response' })
      events.push('job')
    })
    events.push('before the close')
    scope.close()

    expect(events).toEqual(['job', 'before the close', 'task'])
  })

  it('starts at once in a task', async () => {
    const { group } = groupWith()
    const events: string[] = []

    await runInScope(
      () =>
        spawn(() => {
          spawn(() => events.push('inner'), { after: 'response' })
          events.push('outer')
        }).result(),
      { group },
    )

    expect(events).toEqual(['inner', 'outer'])
  })

  it('is owned and drained from its spawn on, and withdrawn by an abort', async () => {
    const { group, failures } = groupWith()
    const scope = openScope('job', { group })
    const ran: string[] = []
    const [first, second] = scope.run(() =>
      ['first', 'second'].map((name) => spawn(() => ran.push(name), { name, after: 'response' })),
    )

    expect(group.counters.running).toBe(2)
    first?.abort()
    scope.close()
    await second?.result()

    await expect(first?.result()).rejects.toMatchObject({ code: 'LCTX_CANCELLED' })
    expect(ran).toEqual(['second'])
    expect([group.counters.running, failures]).toEqual([0, []])
  })

  it('starts after the response and when a slot is free, whichever is later', async () => {
    const { group } = groupWith({ maxConcurrent: 1 })
    const scope = openScope('job', { group })
    const gate = Promise.withResolvers<void>()
    const events: string[] = []
    scope.run(() => {
      spawn(() => gate.promise, { name: 'first' })
      spawn(() => events.push('needs a slot'), { after: 'response' })
    })
    scope.close()
    expect(events).toEqual([])
    gate.resolve()
    await group.drain()
    expect(events).toEqual(['needs a slot'])

    const other = openScope('job', { group })
    const blocker = Promise.withResolvers<void>()
    const last = other.run(() => {
      spawn(() => blocker.promise, { name: 'blocker' })
      return spawn(() => events.push('needs the close'), { after: 'response' })
    })
    blocker.resolve()
    await new Promise((resolve) => setImmediate(resolve))
    expect(events).toEqual(['needs a slot'])
    other.close()
    await last.result()
    expect(events).toEqual(['needs a slot', 'needs the close'])
  })

  it('leaves the slots to tasks that its request waits for', async () => {
    const { group } = groupWith({ maxConcurrent: 1 })
    const events: string[] = []
    const scope = openScope('request', { group })

    await scope.run(async () => {
      spawn(() => events.push('after the response'), { after: 'response' })
      await spawn(() => events.push('before it')).result()
    })
    scope.close()
    await group.drain()

    expect(events).toEqual(['before it', 'after the response'])
    expect(group.counters).toMatchObject({ running: 0, queued: 0, waiting: 0, ended: 2 })
  })

  it.each([
    ['a queue', { maxConcurrent: 1, maxQueued: 0 }],
    ['a unit', { maxPerRequest: 1 }],
  ])('is refused by the limit of %s, and is not deferred with whenFull wait', async (_, limits) => {
    const rejecting = groupWith(limits).group
    const waiting = groupWith({ ...limits, whenFull: 'wait' }).group
    const gate = Promise.withResolvers<void>()
    const events: string[] = []
    const spawnAfter = (group: TaskGroup) => {
      group.spawn(() => gate.promise)
      return group.spawn(() => events.push('ran'), { after: 'response' })
    }
    const scope = openScope('request')

    scope.run(() => expect(() => spawnAfter(rejecting)).toThrow(expect.objectContaining({ code: 'LCTX_GROUP_FULL' })))
    await scope.run(() => spawnAfter(waiting).accepted())
    scope.close()
    gate.resolve()
    await Promise.all([rejecting.drain(), waiting.drain()])

    expect(events).toEqual(['ran'])
    expect(waiting.counters).toMatchObject({ running: 0, queued: 0, waiting: 0, ended: 2 })
  })

  it('throws with share, and for another value', () => {
    runInScope(() => {
      expect(() => spawn(() => {}, { after: 'response', policy: 'share' })).toThrow(
        "expected a policy other than 'share'",
      )
      expect(() => spawn(() => {}, { after: 'request' as never })).toThrow("option 'after' expected 'response'")
    })
  })
})

describe('spawn with timeoutMs', () => {
  it('aborts the signal of the task at the limit, and reports a TimeoutError', async () => {
    const { group, failures } = groupWith()

    const task = runInScope(
      () =>
        spawn(
          ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
          { name: 'slow', timeoutMs: 5 },
        ),
      { group },
    )

    await expect(task.result()).rejects.toMatchObject({
      code: 'LCTX_TIMEOUT',
      message: expect.stringContaining("'slow' did not end within 5 ms"),
    })
    expect(failures).toMatchObject([{ code: 'LCTX_TIMEOUT' }])
    expect(group.counters).toMatchObject({ failed: 1, cancelled: 0, running: 0 })
  })

  it('does not report a task that ends in time, and keeps no timer', async () => {
    const { group, failures } = groupWith()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())

    await runInScope(() => spawn(async () => 1, { timeoutMs: 60_000 }).result(), { group })

    expect(vi.getTimerCount()).toBe(0)
    expect(failures).toEqual([])
  })

  it('keeps the value of a task that does not stop', async () => {
    const { group, failures } = groupWith()

    const task = runInScope(
      () =>
        spawn(({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve('late'))), {
          timeoutMs: 1,
        }),
      { group },
    )

    expect([await task.result(), failures]).toEqual(['late', []])
  })

  it('is a cancellation, not a failure, if another reason aborts the task first', async () => {
    const { group, failures } = groupWith()
    const task = runInScope(
      () =>
        spawn(
          ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
          { timeoutMs: 60_000 },
        ),
      { group },
    )

    task.abort(new Error('stop'))
    await task.result().catch(() => {})

    expect([failures, group.counters.cancelled]).toEqual([[], 1])
  })

  it('throws for a limit that is not an amount', () => {
    runInScope(() => {
      expect(() => spawn(() => {}, { timeoutMs: -1 })).toThrow("option 'timeoutMs' expected a number of at least 0")
    })
  })
})

describe('spawn of a promise', () => {
  it('owns the promise until it settles', async () => {
    const { group } = groupWith()
    const gate = Promise.withResolvers<string>()

    const task = runInScope(() => spawn(gate.promise, { name: 'audit' }), { group })
    expect(group.tasks.map(({ name }) => name)).toEqual(['audit'])
    gate.resolve('written')

    expect(await task.result()).toBe('written')
    expect(group.tasks).toEqual([])
  })

  it('reports its failure to onError, and leaves no unhandled rejection in a full group', async () => {
    const { group, failures } = groupWith({ maxConcurrent: 1 })
    const unhandled = vi.fn<() => void>()
    process.on('unhandledRejection', unhandled)
    onTestFinished(() => void process.off('unhandledRejection', unhandled))
    const gate = Promise.withResolvers<void>()

    runInScope(
      () => {
        spawn(gate.promise)
        spawn(Promise.reject(new Error('planted')))
      },
      { group },
    )
    await new Promise((resolve) => setImmediate(resolve))
    gate.resolve()
    await group.drain()

    expect(failures).toMatchObject([{ message: 'planted' }])
    expect(unhandled).not.toHaveBeenCalled()
  })

  it('starts a lazy promise, such as a query of postgres, when the task begins, in its context', async () => {
    const { group } = groupWith()
    const events: unknown[] = []
    const query = new LazyPromise(() => events.push(['query', user.get()]))

    const scope = openScope('request', { group })
    const task = scope.run(() => {
      user.set('ada')
      const spawned = spawn(query, { after: 'response', policy: 'isolate' })
      events.push('spawned')
      return spawned
    })
    scope.close()
    await task.result()

    expect(events).toEqual(['spawned', ['query', undefined]])
  })

  it('throws for something that is neither a function nor a promise', () => {
    runInScope(() => expect(() => spawn(7 as never)).toThrow('spawn: expected a function or a promise, got 7.'))
  })
})

describe('spawn of a promise that a group refuses', () => {
  it('does not start a lazy promise', () => {
    const { group } = groupWith()
    const start = vi.fn<() => void>()
    group.close()

    expect(() => group.spawn(new LazyPromise(start))).toThrow(/task/)

    expect([start.mock.calls, group.tasks]).toEqual([[], []])
  })

  it.each<[name: string, refusing: () => { group: TaskGroup; failures: unknown[] }]>([
    [
      'a closed group',
      () => {
        const made = groupWith()
        made.group.close()
        return made
      },
    ],
    [
      'a full group',
      () => {
        const made = groupWith({ maxConcurrent: 1, maxQueued: 0 })
        made.group.spawn(() => new Promise(() => {}))
        return made
      },
    ],
  ])('reports its failure, because the work runs already: %s', async (_name, refusing) => {
    const { group, failures } = refusing()
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    onTestFinished(() => void process.off('unhandledRejection', unhandled))
    const failure = new RangeError('no mail')
    const own = vi.fn()

    expect(() => group.spawn(Promise.reject(failure), { name: 'mail' })).toThrow(/mail/)
    expect(() => group.spawn(Promise.reject(failure), { onError: own })).toThrow(/task/)
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))

    expect(failures).toEqual([failure])
    expect(own).toHaveBeenCalledWith(failure, expect.anything())
    expect(unhandled).not.toHaveBeenCalled()
  })
})

/** Starts at `then`, which `catch` calls too. */
class LazyPromise extends Promise<string> {
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  readonly #start: () => unknown

  constructor(start: () => unknown) {
    super((resolve) => resolve('rows'))
    this.#start = start
  }

  override then<A = string, B = never>(
    onFulfilled?: ((value: string) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#start()
    return super.then(onFulfilled, onRejected)
  }
}
