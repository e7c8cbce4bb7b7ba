import { outside } from '../context/current.ts'
import { anyOf, checkArgument } from '../options.ts'
import { runInScope } from '../tasks/open-scope.ts'
import { describeDelivery } from './message-delivery.ts'
import {
  asRequest,
  type Engine,
  type EngineQueue,
  type QueueOptions,
  propagators,
  results,
  type SeenValues,
  seen,
  tenant,
  undeclared,
  user,
} from './message-engine.ts'
import { checkRunner, type TestRunner } from './runner.ts'

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

const anEngine = anyOf('an engine with open(), { open }', (value) => {
  return typeof (Object(value) as Partial<Engine>).open === 'function'
})

/**
 * Defines the tests that every adapter for messages must pass, on a real engine.
 *
 * @throws {TypeError} if `engine` has no method `open`.
 */
export function describeMessages(runner: TestRunner, name: string, engine: Engine): void {
  checkRunner('describeMessages', runner)
  checkArgument('describeMessages', anEngine, engine)
  const { describe, it, expect } = runner
  type Open = (options?: QueueOptions, lostAfterMs?: number) => Promise<EngineQueue>

  /** A test whose queues are closed at its end. */
  const test = (title: string, body: (open: Open) => Promise<void>) =>
    it(title, async () => {
      const queues: EngineQueue[] = []
      try {
        await body(async (options, lostAfterMs) => {
          const queue = await engine.open({ propagators, ...options }, lostAfterMs)
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
      const { trace, ...values } = job as SeenValues

      expect(values).toEqual({ tenant: 'acme', user: 'ann', undeclared: null, requestId: 'r-1', attempt: 1 })
      expect([trace?.traceId, trace?.parentSpanId]).toEqual([sender.traceId, sender.spanId])
    })

    test('an isolated job has the kept values and a new trace that links to the sender', async (open) => {
      const queue = await open()

      const sender = await asRequest(() => queue.enqueue({ n: 1 }, 'isolate'))
      const [job] = await results(queue, 1, seen)
      const { trace, ...values } = job as SeenValues

      expect(values).toEqual({ tenant: 'acme', user: null, undeclared: null, requestId: 'r-1', attempt: 1 })
      expect(trace?.traceId === sender.traceId).toEqual(false)
      expect([trace?.link?.traceId, trace?.link?.spanId]).toEqual([sender.traceId, sender.spanId])
    })

    test('a job with { only } has these values, one with { except } all others, and both the kept ones', async (open) => {
      const queue = await open()

      await asRequest(async () => {
        await queue.enqueue({ n: 1 }, { only: [user] })
        await queue.enqueue({ n: 2 }, { only: [] })
        await queue.enqueue({ n: 3 }, { except: [user] })
        await queue.enqueue({ n: 4 }, { except: [undeclared] })
      })
      const jobs = await results(queue, 4, ({ n }) => [Number(n), tenant.get(), user.get() ?? null] as const)

      expect(jobs.toSorted(([a], [b]) => a - b)).toEqual([
        [1, 'acme', 'ann'],
        [2, 'acme', null],
        [3, 'acme', null],
        [4, 'acme', 'ann'],
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

    describeDelivery(test, expect, engine)
  })
}
