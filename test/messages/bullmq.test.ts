import { connect } from 'node:net'
import { FlowProducer, Queue, type Telemetry, Worker } from 'bullmq'
import { ContextVar, runInScope } from 'logical-context'
import { bullContext } from 'logical-context/messages/bullmq'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { describeMessages } from 'logical-context/testing'
import { requestId, TraceContext, traceContext } from 'logical-context/variables'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { redisProgram, startRedis } from '../servers/redis.ts'
import { needs, type RunningServer } from '../servers/server.ts'
import { startWorkerProcess } from './worker-process.ts'

const { name, skip } = needs(redisProgram, 'redis-server')

describe('bullContext', () => {
  it('adds jobs to a fake of a queue, in a test without Redis', async () => {
    const added: unknown[] = []
    const fake = { name: 'jobs', add: async (...args: unknown[]) => added.push(args.slice(0, 2)) }

    await bullContext().add(fake as never, 'job', { id: 1 })

    expect(added).toEqual([['job', { id: 1 }]])
  })
})

describe.skipIf(skip)(`on Redis${name}`, () => {
  let server: RunningServer
  let queues = 0
  const connection = () => ({ host: '127.0.0.1', port: server.port, maxRetriesPerRequest: null })
  beforeAll(async () => {
    server = await startRedis()
  }, 60_000)
  afterAll(() => server.stop())

  describeMessages({ describe, it, expect }, 'BullMQ', {
    kill: () => server.kill(),
    restart: () => server.restart(),
    startWorker: ({ name: queueName = '' }) => startWorkerProcess('bullmq', String(server.port), queueName),
    async open(options) {
      const context = bullContext(options)
      const { telemetry } = context
      const queueName = `jobs-${++queues}`
      const queue = new Queue(queueName, { connection: connection(), telemetry, defaultJobOptions: { attempts: 2 } })
      // Redis is killed in a test.
      queue.on('error', () => {})
      const workers: Worker[] = []
      return {
        name: queueName,
        enqueue: (data, policy) =>
          policy === undefined ? queue.add('job', data) : context.add(queue, 'job', data, { policy }),
        enqueueRaw: (data, fields) =>
          queue.add('job', data, {
            telemetry: { metadata: JSON.stringify({ logicalContext: fields }), omitContext: true },
          }),
        async work(handler) {
          const processor = context.processor<Record<string, unknown>, unknown>((job, scope) =>
            handler(job.data, scope),
          )
          workers.push(new Worker(queueName, processor, { connection: connection(), telemetry, concurrency: 2 }))
        },
        closeWorkers: (closeOptions) => context.close(workers, closeOptions),
        async close() {
          await context.close(workers, { timeoutMs: 0, graceMs: 0 })
          await queue.close()
        },
      }
    },
  })

  const tenant = new ContextVar<string>('tenant')
  const propagators = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { tenant } })]
  const asRequest = (fn: () => Promise<unknown>) =>
    runInScope(async () => {
      tenant.set('acme')
      requestId.set('r-1')
      const trace = new TraceContext()
      traceContext.set(trace)
      await fn()
      return trace
    })

  it('aborts the signal of a job whose lock is lost', async () => {
    const context = bullContext({ propagators })
    const queue = new Queue('locked', { connection: connection() })
    const processor = context.processor(async (job, { signal }) => {
      const redis = connect(server.port, '127.0.0.1')
      redis.end(`DEL bull:locked:${job.id}:lock\r\n`)
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      ended.resolve(signal.reason)
    })
    const ended = Promise.withResolvers<unknown>()

    await queue.add('job', {}, { jobId: 'once' })
    await queue.add('job', {}, { jobId: 'once' })
    const worker = new Worker('locked', processor, { connection: connection(), lockDuration: 200 })
    worker.on('error', () => {})
    const reason = await ended.promise
    const waiting = await queue.getWaitingCount()
    await context.close([worker])
    await queue.close()

    expect(reason).toMatchObject({ name: 'AbortError', message: expect.stringContaining('its lock was lost') })
    expect(waiting).toBe(0)
  })

  it('carries the context into jobs of a flow and of addBulk, each by its policy', async () => {
    const context = bullContext({ propagators })
    const { telemetry } = context
    const queue = new Queue('flow', { connection: connection(), telemetry })
    const flows = new FlowProducer({ connection: connection(), telemetry })
    const seen: Record<string, unknown> = {}
    const all = Promise.withResolvers<void>()
    const processor = context.processor((job) => {
      seen[job.name] = tenant.get()
      if (Object.keys(seen).length === 4) all.resolve()
    })

    await asRequest(async () => {
      await flows.add(
        context.flow({ name: 'parent', queueName: 'flow', children: [{ name: 'child', queueName: 'flow' }] }),
      )
      await queue.addBulk([
        { name: 'bulk', data: {} },
        { name: 'isolated', data: {}, opts: context.jobOptions('flow', 'isolate') },
      ])
    })
    const worker = new Worker('flow', processor, { connection: connection(), telemetry })
    await all.promise
    await context.close([worker])
    await Promise.all([queue.close(), flows.close()])

    expect(seen).toEqual({ parent: 'acme', child: 'acme', bulk: 'acme', isolated: undefined })
  })

  it('starts the runs of a scheduler empty, each in a new trace', async () => {
    const context = bullContext({ propagators })
    const { telemetry } = context
    const queue = new Queue('scheduled', { connection: connection(), telemetry })
    const runs: (readonly [string | undefined, string | undefined, string | undefined])[] = []
    const two = Promise.withResolvers<void>()
    const processor = context.processor(() => {
      runs.push([tenant.get(), requestId.get(), traceContext.get()?.traceId])
      if (runs.length === 2) two.resolve()
    })

    const trace = await asRequest(() => queue.upsertJobScheduler('every', { every: 100 }, { name: 'run' }))
    const worker = new Worker('scheduled', processor, { connection: connection(), telemetry })
    await two.promise
    await context.close([worker])
    await queue.removeJobScheduler('every')
    await queue.close()

    const [first, second] = runs
    expect(runs.map(([ofTenant]) => ofTenant)).toEqual([undefined, undefined])
    expect(new Set([trace.traceId, first?.[2], second?.[2]]).size).toBe(3)
    expect(new Set(['r-1', first?.[1], second?.[1]]).size).toBe(3)
  })

  it('stores nothing of the code that creates a scheduler', async () => {
    const context = bullContext({ propagators })
    const queue = new Queue('stored', { connection: connection(), telemetry: context.telemetry })

    await asRequest(() =>
      context.upsertJobScheduler(queue, 'daily', { every: 100_000 }, { name: 'run', data: { n: 1 } }),
    )
    const [scheduler] = await queue.getJobSchedulers()
    const jobs = await queue.getJobs()
    await queue.removeJobScheduler('daily')
    await queue.close()

    expect([scheduler?.name, scheduler?.template?.data, jobs.length]).toEqual(['run', { n: 1 }, 1])
    expect(JSON.stringify([scheduler, jobs.map(({ opts }) => opts)])).not.toMatch(/acme|traceparent|r-1/)
  })

  it('works next to another telemetry, whose metadata and spans stay its own', async () => {
    const calls: string[] = []
    const other: Telemetry<string> = {
      tracer: {
        startSpan(spanName) {
          calls.push(`span ${spanName}`)
          return {
            setSpanOnContext: (found) => `${found}+span`,
            setAttribute() {},
            setAttributes() {},
            addEvent() {},
            recordException() {},
            end() {},
          }
        },
      },
      contextManager: {
        with: (_context, fn) => fn() as ReturnType<typeof fn>,
        active: () => 'active',
        getMetadata: (found) => `theirs of ${found}`,
        fromMetadata(_active, metadata) {
          calls.push(`from ${metadata}`)
          return metadata
        },
      },
    }
    const context = bullContext({ propagators, telemetry: other })
    const { telemetry } = context
    const queue = new Queue('composed', { connection: connection(), telemetry })
    const seen = Promise.withResolvers<string | undefined>()

    await asRequest(() => queue.add('job', {}))
    const processor = context.processor(() => seen.resolve(tenant.get()))
    const worker = new Worker('composed', processor, { connection: connection(), telemetry })
    const ofTenant = await seen.promise
    await context.close([worker])
    await queue.close()

    expect(ofTenant).toBe('acme')
    expect(calls).toEqual(
      expect.arrayContaining(['span add composed.job', 'span process composed', 'from theirs of active+span']),
    )
  })
})

describe('bullContext', () => {
  it.each([
    ['an unknown option', () => bullContext({ prefix: 'x' } as never), /bullContext: unknown option 'prefix'/],
    [
      'a limit that is not a number',
      () => bullContext({ enqueueTimeoutMs: '1' } as never),
      /option 'enqueueTimeoutMs'/,
    ],
    [
      'a processor that is not a function',
      () => bullContext().processor('x' as never),
      /processor: expected a function/,
    ],
  ])('refuses %s', (_, call, message) => {
    expect(call).toThrow(message)
  })
})
