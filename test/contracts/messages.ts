import { ContextVar, LogicalContextError, outside, type RequestScope, runInScope, spawn } from 'logical-context'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { message, requestId, TraceContext, traceContext } from 'logical-context/variables'
import { afterEach, describe, expect, it } from 'vitest'
import type { CloseReport, MessagePolicy, MessagesOptions } from '../../src/messages/message.ts'

/** A queue of an engine, with nothing in it. */
export interface EngineQueue {
  enqueue(data: object, policy?: MessagePolicy): Promise<unknown>
  /** Enqueues a job whose context fields, or whose envelope, are `fields` as they are. */
  enqueueRaw(data: object, fields: unknown): Promise<unknown>
  /** Starts a worker that runs two jobs at a time. A handler that fails is run again by the engine. */
  work(handler: (data: Record<string, unknown>, scope: RequestScope) => unknown): Promise<unknown>
  /** Ends the workers as a program does at its shutdown. */
  closeWorkers(options: { timeoutMs: number; graceMs: number }): Promise<CloseReport>
  /** Frees what is left. */
  close(): Promise<unknown>
}

export interface Engine {
  /** Opens a new queue. Jobs are tried twice, without a delay. */
  open(options: MessagesOptions): Promise<EngineQueue>
}

const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
const user = new ContextVar<string>('user')
const undeclared = new ContextVar<string>('undeclared')
const propagators = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { tenant, user } })]

/** What a job sees. */
interface Seen {
  readonly tenant: string | undefined
  readonly user: string | undefined
  readonly undeclared: string | undefined
  readonly requestId: string | undefined
  readonly trace: TraceContext | undefined
  readonly attempt: number | undefined
}

function seen(): Seen {
  return {
    tenant: tenant.get(),
    user: user.get(),
    undeclared: undeclared.get(),
    requestId: requestId.get(),
    trace: traceContext.get(),
    attempt: message.get()?.attempt,
  }
}

/** What every message engine promises. It runs against the real engine. */
export function describeMessages(name: string, engine: Engine): void {
  const queues: EngineQueue[] = []
  const open = async (options: MessagesOptions = {}) => {
    const queue = await engine.open({ propagators, ...options })
    queues.push(queue)
    return queue
  }
  afterEach(async () => {
    await Promise.all(queues.splice(0).map((queue) => queue.close()))
  })

  /** Runs `enqueue` as a request of ann at acme. Returns the request's trace. */
  const asRequest = (enqueue: () => Promise<unknown>) =>
    runInScope(async () => {
      tenant.set('acme')
      user.set('ann')
      undeclared.set('stays here')
      requestId.set('r-1')
      const trace = new TraceContext()
      traceContext.set(trace)
      await enqueue()
      return trace
    })

  /** The first `count` results of a worker's handler. */
  const results = async <T>(
    queue: EngineQueue,
    count: number,
    handler: (data: Record<string, unknown>, scope: RequestScope) => T | Promise<T>,
  ): Promise<T[]> => {
    const found: T[] = []
    const all = Promise.withResolvers<void>()
    await queue.work(async (data, scope) => {
      found.push(await handler(data, scope))
      if (found.length >= count) all.resolve()
    })
    await all.promise
    return found
  }

  describe(`${name}, as every message engine`, () => {
    it('an inheriting job has the declared values, the request id and the trace of its sender', async () => {
      const queue = await open()

      const trace = await asRequest(() => queue.enqueue({ n: 1 }))
      const [job] = await results(queue, 1, seen)

      expect(job).toMatchObject({ tenant: 'acme', user: 'ann', undeclared: undefined, requestId: 'r-1', attempt: 1 })
      expect(job?.trace?.traceId).toBe(trace.traceId)
      expect(job?.trace?.spanId).not.toBe(trace.spanId)
    })

    it('an isolated job has the kept values and a new trace that links to the sender', async () => {
      const queue = await open()

      const trace = await asRequest(() => queue.enqueue({ n: 1 }, 'isolate'))
      const [job] = await results(queue, 1, seen)

      expect(job).toMatchObject({ tenant: 'acme', user: undefined, requestId: 'r-1' })
      expect(job?.trace?.traceId).not.toBe(trace.traceId)
      expect(job?.trace?.link).toEqual({ traceId: trace.traceId, spanId: trace.spanId })
    })

    it('a job with { only } has these values and the kept ones', async () => {
      const queue = await open()

      await asRequest(async () => {
        await queue.enqueue({ n: 1 }, { only: [user] })
        await queue.enqueue({ n: 2 }, { only: [] })
      })
      const jobs = await results(queue, 2, ({ n }) => ({ n, ...seen() }))

      expect(jobs.toSorted((a, b) => Number(a.n) - Number(b.n))).toMatchObject([
        { n: 1, tenant: 'acme', user: 'ann' },
        { n: 2, tenant: 'acme', user: undefined },
      ])
    })

    it('refuses share, and a variable that is not declared to travel, at the enqueue', async () => {
      const queue = await open()

      const outcomes = await runInScope(() =>
        Promise.allSettled([
          (async () => queue.enqueue({}, 'share' as never))(),
          (async () => queue.enqueue({}, { only: [undeclared] }))(),
        ]),
      )

      expect(outcomes).toMatchObject([
        { reason: { name: 'TypeError', message: expect.stringContaining("other than 'share'") } },
        { reason: { name: 'TypeError', message: expect.stringContaining("'undeclared'") } },
      ])
    })

    it('opens each attempt with identical values, in the same trace and a span of its own', async () => {
      const queue = await open()
      const attempts: Seen[] = []
      const done = Promise.withResolvers<void>()

      await asRequest(() => queue.enqueue({ n: 1 }))
      await queue.work(() => {
        attempts.push(seen())
        user.set('written by an attempt')
        if (attempts.length === 1) throw new Error('the first attempt fails')
        done.resolve()
      })
      await done.promise

      expect(attempts).toMatchObject([
        { tenant: 'acme', user: 'ann', requestId: 'r-1', attempt: 1 },
        { tenant: 'acme', user: 'ann', requestId: 'r-1', attempt: 2 },
      ])
      expect(attempts[1]?.trace?.traceId).toBe(attempts[0]?.trace?.traceId)
      expect(attempts[1]?.trace?.spanId).not.toBe(attempts[0]?.trace?.spanId)
    })

    it('a job from outside any unit has a request id and a trace, the same in each attempt', async () => {
      const queue = await open()
      const attempts: Seen[] = []
      const done = Promise.withResolvers<void>()

      await queue.enqueue({ n: 1 })
      await queue.work(() => {
        attempts.push(seen())
        if (attempts.length === 1) throw new Error('the first attempt fails')
        done.resolve()
      })
      await done.promise

      expect(attempts[0]?.requestId).toMatch(/^[\da-f-]{36}$/)
      expect(attempts[1]?.requestId).toBe(attempts[0]?.requestId)
      expect(attempts[1]?.trace?.traceId).toBe(attempts[0]?.trace?.traceId)
    })

    it('keeps two jobs that run at the same time apart', async () => {
      const queue = await open()
      const both = Promise.withResolvers<void>()
      let begun = 0

      for (const name of ['ann', 'bob']) {
        await runInScope(async () => {
          user.set(name)
          await queue.enqueue({ name })
        })
      }
      const jobs = await results(queue, 2, async ({ name: own }) => {
        if (++begun === 2) both.resolve()
        await both.promise
        const before = user.get()
        user.set(`${before} in her job`)
        await Promise.resolve()
        return { own, before, after: user.get() }
      })

      for (const { own, before, after } of jobs) expect([before, after]).toEqual([own, `${String(own)} in her job`])
    })

    it('starts jobs outside the context of the code that creates the worker', async () => {
      const queue = await open()
      await outside(() => queue.enqueue({ n: 1 }))

      const [job] = await runInScope(() => {
        user.set('creator of the worker')
        tenant.set('creator of the worker')
        return results(queue, 1, seen)
      })

      expect(job).toMatchObject({ tenant: undefined, user: undefined })
    })

    it.each([
      ['a text', 'not an object'],
      ['a number', 7],
      ['null', null],
      ['an array', ['traceparent', 'x']],
      ['another version', { v: 99, traceparent: 'x', baggage: 'plan=free' }],
      ['keys of the prototype', { v: 1, ['__proto__']: 'x', constructor: 'y', toString: 'z' }],
      ['values that are not texts', { v: 1, baggage: { tenant: 'mallory' }, traceparent: 12 }],
      ['a field that is too long', { v: 1, baggage: `tenant=${'x'.repeat(20_000)}` }],
      ['bytes', { v: 1, traceparent: '\u0001\u0002', baggage: '\u00ff' }],
    ])('runs a job whose context is %s', async (_, fields) => {
      const queue = await open()

      await queue.enqueueRaw({ n: 1 }, fields)
      const [job] = await results(queue, 1, ({ n }) => ({ n, ...seen() }))

      expect(job).toMatchObject({ n: 1, tenant: undefined, requestId: expect.stringMatching(/^[\da-f-]{36}$/) })
    })

    it('uses no values and starts a new trace with trust: false', async () => {
      const queue = await open({ trust: false })

      const trace = await asRequest(() => queue.enqueue({ n: 1 }))
      const [job] = await results(queue, 1, seen)

      expect(job).toMatchObject({ tenant: undefined, user: undefined, requestId: expect.not.stringMatching(/^r-1$/) })
      expect(job?.trace?.traceId).not.toBe(trace.traceId)
    })

    it('waits at the close for running jobs and for the tasks that they have spawned', async () => {
      const queue = await open()
      const events: string[] = []
      const begun = Promise.withResolvers<void>()
      const goOn = Promise.withResolvers<void>()

      await queue.enqueue({ n: 1 })
      await queue.work(async () => {
        spawn(
          async () => {
            await goOn.promise
            await new Promise((resolve) => setImmediate(resolve))
            events.push('task')
          },
          { name: 'index' },
        )
        begun.resolve()
        await goOn.promise
        events.push('job')
      })
      await begun.promise
      const closed = queue.closeWorkers({ timeoutMs: 20_000, graceMs: 100 }).then((report) => {
        events.push('closed')
        return report
      })
      goOn.resolve()
      const report = await closed

      expect(events).toEqual(['job', 'task', 'closed'])
      expect(report).toMatchObject({ unfinished: [], unfinishedJobs: [] })
    })

    it('aborts jobs at the limit of the close, and reports them by name', async () => {
      const queue = await open()
      const begun = Promise.withResolvers<void>()
      const reasons: unknown[] = []

      await queue.enqueue({ n: 1 })
      await queue.work(async (_data, { signal }) => {
        begun.resolve()
        await new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => {
            reasons.push(signal.reason instanceof LogicalContextError && signal.reason.code)
            resolve()
          })
        })
        throw signal.reason
      })
      await begun.promise
      const report = await queue.closeWorkers({ timeoutMs: 50, graceMs: 2000 })

      expect(reasons).toEqual(['LCTX_ABANDONED'])
      expect(report.unfinishedJobs).toMatchObject([{ attempt: 1, ended: true }])
    })
  })
}
