import { outside } from '../context/current.ts'
import { LogicalContextError } from '../errors.ts'
import { spawn } from '../tasks/spawn.ts'
import {
  asRequest,
  type Engine,
  type EngineQueue,
  type QueueOptions,
  type SeenValues,
  seen,
  user,
  type WorkerProcess,
} from './message-engine.ts'
import type { TestRunner } from './runner.ts'

const uuid = /^[\da-f-]{36}$/

type Open = (options?: QueueOptions, lostAfterMs?: number) => Promise<EngineQueue>
type Test = (title: string, body: (open: Open) => Promise<void>) => void

/** Defines the tests of attempts, of workers and brokers that are killed, and of the close. */
export function describeDelivery(test: Test, expect: TestRunner['expect'], engine: Engine): void {
  const { retries = 'counted', startWorker, kill, restart } = engine
  const second = retries === 'counted' ? 2 : 1

  /** Both attempts are in the trace of the job, each in a span of its own. */
  const expectOneTrace = ([first, again]: readonly SeenValues[]) => {
    expect(typeof first?.trace?.traceId).toEqual('string')
    expect(again?.trace?.traceId).toEqual(first?.trace?.traceId)
    expect(again?.trace?.spanId === first?.trace?.spanId).toEqual(false)
  }

  if (retries !== 'none') {
    test('opens each attempt with identical values, in the same trace and its own span', async (open) => {
      const queue = await open()

      await asRequest(() => queue.enqueue({ n: 1 }))
      const attempts = await twoAttempts(queue)

      expect(attempts.map((attempt) => [attempt.tenant, attempt.user, attempt.requestId, attempt.attempt])).toEqual([
        ['acme', 'ann', 'r-1', 1],
        ['acme', 'ann', 'r-1', second],
      ])
      expectOneTrace(attempts)
    })

    test('a job from outside any unit has a request id and a trace, the same in each attempt', async (open) => {
      const queue = await open()

      await outside(() => queue.enqueue({ n: 1 }))
      const attempts = await twoAttempts(queue)

      expect(uuid.test(String(attempts[0]?.requestId))).toEqual(true)
      expect(attempts[1]?.requestId).toEqual(attempts[0]?.requestId)
      expectOneTrace(attempts)
    })
  }

  if (startWorker !== undefined) {
    test('delivers a job with the same context after kill -9 of its worker', async (open) => {
      const queue = await open({}, 1000)
      const run = async ({ seen: job, kill: end }: WorkerProcess) => {
        const found = await job
        await end()
        return found
      }

      const sender = await asRequest(() => queue.enqueue({ n: 1 }))
      const attempts = [await run(await startWorker(queue)), await run(await startWorker(queue))]

      for (const { trace, attempt: _, ...values } of attempts) {
        expect(values).toEqual({ tenant: 'acme', user: 'ann', undeclared: null, requestId: 'r-1' })
        expect([trace?.traceId, trace?.parentSpanId]).toEqual([sender.traceId, sender.spanId])
      }
      expect(attempts[0]?.attempt).toEqual(1)
      // NATS 2.9 does not count a delivery whose client has ended.
      expect([1, second].includes(Number(attempts[1]?.attempt))).toEqual(true)
      expectOneTrace(attempts)
    })
  }

  if (kill !== undefined && restart !== undefined) {
    test('delivers a job with the same context after kill -9 of the broker, and rejects an enqueue meanwhile', async (open) => {
      const queue = await open({ enqueueTimeoutMs: 2000 })
      const sender = await asRequest(() => queue.enqueue({ n: 1 }))

      await kill()
      const [failure] = await Promise.allSettled([queue.enqueue({ n: 2 }, 'inherit')])
      await restart()
      await queue.enqueue({ n: 3 })
      const jobs = new Map<unknown, SeenValues>()
      const last = Promise.withResolvers<void>()
      await queue.work(({ n }) => {
        jobs.set(n, seen())
        if (jobs.has(1) && jobs.has(3)) last.resolve()
      })
      await last.promise
      // RabbitMQ marks what it recovers as delivered before.
      const { trace, attempt: _, ...values } = jobs.get(1) as SeenValues

      expect(values).toEqual({ tenant: 'acme', user: 'ann', undeclared: null, requestId: 'r-1' })
      expect([trace?.traceId, trace?.parentSpanId]).toEqual([sender.traceId, sender.spanId])
      const { code, message } = (failure?.status === 'rejected' ? failure.reason : {}) as LogicalContextError
      expect(failure?.status).toEqual('rejected')
      // Another code says that the job was not accepted.
      const mayBeAccepted = code === 'LCTX_ENQUEUE_TIMEOUT' && message.includes('may accept')
      expect(mayBeAccepted || !jobs.has(2)).toEqual(true)
    })
  }

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
}

/** Starts a worker whose first attempt fails. Resolves after the second one. */
async function twoAttempts(queue: EngineQueue): Promise<SeenValues[]> {
  const attempts: SeenValues[] = []
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
