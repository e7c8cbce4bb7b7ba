import { outside } from '../context/current.ts'
import { LogicalContextError } from '../errors.ts'
import type { MessagesOptions } from '../messages/message.ts'
import { runInScope } from '../tasks/open-scope.ts'
import { spawn } from '../tasks/spawn.ts'
import {
  asRequest,
  type Engine,
  type EngineQueue,
  propagators,
  results,
  type Seen,
  seen,
  tenant,
  undeclared,
  user,
} from './message-engine.ts'
import type { TestRunner } from './runner.ts'

const uuid = /^[\da-f-]{36}$/

/** Contexts of senders that a worker cannot use. */
const unusable: readonly (readonly [description: string, fields: unknown])[] = [
  ['a text', 'not an object'],
  ['a number', 7],
  ['null', null],
  ['an array', ['traceparent', 'x']],
  ['another version', { v: 99, traceparent: 'x', baggage: 'plan=free' }],
  ['keys of the prototype', { v: 1, ['__proto__']: 'x', constructor: 'y', toString: 'z' }],
  ['values that are not texts', { v: 1, baggage: { tenant: 'mallory' }, traceparent: 12 }],
  ['a field that is too long', { v: 1, baggage: `tenant=${'x'.repeat(20_000)}` }],
  ['bytes', { v: 1, traceparent: '\u0001\u0002', baggage: '\u00ff' }],
]

/** Defines the tests that every adapter for messages must pass, on a real engine. */
export function describeMessages({ describe, it, expect }: TestRunner, name: string, engine: Engine): void {
  type Open = (options?: MessagesOptions) => Promise<EngineQueue>

  /** A test whose queues are closed at its end. */
  const test = (title: string, body: (open: Open) => Promise<void>) =>
    it(title, async () => {
      const queues: EngineQueue[] = []
      try {
        await body(async (options) => {
          const queue = await engine.open({ propagators, ...options })
          queues.push(queue)
          return queue
        })
      } finally {
        await Promise.all(queues.map((queue) => queue.close()))
      }
    })

  describe(`${name}, as every message engine`, () => {
    test('an inheriting job has the declared values, the request id and the trace of its sender', async (open) => {
      const queue = await open()

      const sender = await asRequest(() => queue.enqueue({ n: 1 }))
      const [job] = await results(queue, 1, seen)
      const { trace, ...values } = job as Seen

      expect(values).toEqual({ tenant: 'acme', user: 'ann', undeclared: null, requestId: 'r-1', attempt: 1 })
      expect([trace?.traceId, trace?.parentSpanId]).toEqual([sender.traceId, sender.spanId])
    })

    test('an isolated job has the kept values and a new trace that links to the sender', async (open) => {
      const queue = await open()

      const sender = await asRequest(() => queue.enqueue({ n: 1 }, 'isolate'))
      const [job] = await results(queue, 1, seen)
      const { trace, ...values } = job as Seen

      expect(values).toEqual({ tenant: 'acme', user: null, undeclared: null, requestId: 'r-1', attempt: 1 })
      expect(trace?.traceId === sender.traceId).toEqual(false)
      expect([trace?.link?.traceId, trace?.link?.spanId]).toEqual([sender.traceId, sender.spanId])
    })

    test('a job with { only } has these values and the kept ones', async (open) => {
      const queue = await open()

      await asRequest(async () => {
        await queue.enqueue({ n: 1 }, { only: [user] })
        await queue.enqueue({ n: 2 }, { only: [] })
      })
      const jobs = await results(queue, 2, ({ n }) => [Number(n), tenant.get(), user.get() ?? null] as const)

      expect(jobs.toSorted(([a], [b]) => a - b)).toEqual([
        [1, 'acme', 'ann'],
        [2, 'acme', null],
      ])
    })

    test('refuses share, and a variable that is not declared to travel, at the enqueue', async (open) => {
      const queue = await open()

      const outcomes = await runInScope(() =>
        Promise.allSettled([
          (async () => queue.enqueue({}, 'share' as never))(),
          (async () => queue.enqueue({}, { only: [undeclared] }))(),
        ]),
      )

      const failures = outcomes.map((outcome) => (outcome.status === 'rejected' ? (outcome.reason as Error) : null))
      expect(failures.map((failure) => failure instanceof TypeError)).toEqual([true, true])
      expect(failures[0]?.message.includes("other than 'share'")).toEqual(true)
      expect(failures[1]?.message.includes("'undeclared'")).toEqual(true)
    })

    test('opens each attempt with identical values, in the same trace and its own span', async (open) => {
      const queue = await open()

      await asRequest(() => queue.enqueue({ n: 1 }))
      const [first, second] = await twoAttempts(queue)

      expect([first, second].map((attempt) => [attempt?.tenant, attempt?.user, attempt?.attempt])).toEqual([
        ['acme', 'ann', 1],
        ['acme', 'ann', 2],
      ])
      expect([first?.requestId, second?.requestId]).toEqual(['r-1', 'r-1'])
      expect(second?.trace?.traceId).toEqual(first?.trace?.traceId)
      expect(second?.trace?.spanId === first?.trace?.spanId).toEqual(false)
    })

    const { restart } = engine
    if (restart !== undefined) {
      test('delivers a job with the same context after kill -9 of the broker', async (open) => {
        const queue = await open()

        const sender = await asRequest(() => queue.enqueue({ n: 1 }))
        await restart()
        const [job] = await results(queue, 1, seen)
        const { trace, ...values } = job as Seen

        expect(values).toEqual({ tenant: 'acme', user: 'ann', undeclared: null, requestId: 'r-1', attempt: 1 })
        expect([trace?.traceId, trace?.parentSpanId]).toEqual([sender.traceId, sender.spanId])
      })
    }

    test('a job from outside any unit has a request id and a trace, the same in each attempt', async (open) => {
      const queue = await open()

      await outside(() => queue.enqueue({ n: 1 }))
      const [first, second] = await twoAttempts(queue)

      expect(uuid.test(String(first?.requestId))).toEqual(true)
      expect(second?.requestId).toEqual(first?.requestId)
      expect(typeof first?.trace?.traceId).toEqual('string')
      expect(second?.trace?.traceId).toEqual(first?.trace?.traceId)
    })

    test('separates two jobs that run at the same time', async (open) => {
      const queue = await open()
      const both = Promise.withResolvers<void>()
      let begun = 0

      for (const own of ['ann', 'bob']) {
        await runInScope(async () => {
          user.set(own)
          await queue.enqueue({ own })
        })
      }
      const jobs = await results(queue, 2, async ({ own }) => {
        if (++begun === 2) both.resolve()
        await both.promise
        const before = user.get()
        user.set(`${before} in the job`)
        await Promise.resolve()
        return [own, before, user.get()]
      })

      const sorted = jobs.toSorted(([a], [b]) => String(a).localeCompare(String(b)))
      expect(sorted).toEqual(['ann', 'bob'].map((own) => [own, own, `${own} in the job`]))
    })

    test('starts jobs outside the context of the code that creates the worker', async (open) => {
      const queue = await open()
      await outside(() => queue.enqueue({ n: 1 }))

      const [job] = await runInScope(() => {
        user.set('creator of the worker')
        tenant.set('creator of the worker')
        return results(queue, 1, seen)
      })

      expect([job?.tenant, job?.user]).toEqual([null, null])
    })

    for (const [description, fields] of unusable) {
      test(`runs a job whose context is ${description}`, async (open) => {
        const queue = await open()

        await queue.enqueueRaw({ n: 1 }, fields)
        const [job] = await results(queue, 1, ({ n }) => ({ n, ...seen() }))

        expect([job?.n, job?.tenant]).toEqual([1, null])
        expect(uuid.test(String(job?.requestId))).toEqual(true)
      })
    }

    test('uses no values and starts a new trace with trust: false', async (open) => {
      const queue = await open({ trust: false })

      const sender = await asRequest(() => queue.enqueue({ n: 1 }))
      const [job] = await results(queue, 1, seen)

      expect([job?.tenant, job?.user]).toEqual([null, null])
      expect([job?.requestId === 'r-1', job?.trace?.traceId === sender.traceId]).toEqual([false, false])
    })

    test('waits at the close for running jobs and for the tasks that they spawned', async (open) => {
      const queue = await open()
      const events: string[] = []
      const begun = Promise.withResolvers<void>()
      const gate = Promise.withResolvers<void>()

      await queue.enqueue({ n: 1 })
      await queue.work(async () => {
        spawn(
          async () => {
            await gate.promise
            await new Promise((resolve) => setImmediate(resolve))
            events.push('task')
          },
          { name: 'index' },
        )
        begun.resolve()
        await gate.promise
        events.push('job')
      })
      await begun.promise
      const closing = queue.closeWorkers({ timeoutMs: 20_000, graceMs: 100 }).then((report) => {
        events.push('closed')
        return report
      })
      gate.resolve()
      const { unfinished, unfinishedJobs } = await closing

      expect(events).toEqual(['job', 'task', 'closed'])
      expect([unfinished.length, unfinishedJobs.length]).toEqual([0, 0])
    })

    test('aborts jobs at the limit of the close, and reports them', async (open) => {
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
      expect(report.unfinishedJobs.map(({ attempt, ended }) => [attempt, ended])).toEqual([[1, true]])
    })
  })
}

/** Starts a worker whose first attempt fails. Resolves after the second one. */
async function twoAttempts(queue: EngineQueue): Promise<Seen[]> {
  const attempts: Seen[] = []
  const done = Promise.withResolvers<void>()
  await queue.work(() => {
    attempts.push(seen())
    user.set('written by an attempt')
    if (attempts.length === 1) throw new Error('the first attempt fails')
    done.resolve()
  })
  await done.promise
  return attempts
}
