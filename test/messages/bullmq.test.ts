import { AsyncLocalStorage } from 'node:async_hooks'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { DelayedError, FlowProducer, Queue, type Telemetry, Worker } from 'bullmq'
import { ContextVar, runInScope } from 'logical-context'
import { channels, type MessageEndEvent, type MessageSendEvent } from 'logical-context/channels'
import { bullContext } from 'logical-context/messages/bullmq'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { describeMessages } from 'logical-context/testing'
import { message, requestId, TraceContext, traceContext } from 'logical-context/variables'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { propagators as sandboxPropagators, tenant as sandboxTenant } from '../../src/testing/message-engine.ts'
import { startGate } from '../servers/gate.ts'
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

describe('bullContext, with metadata that it cannot read', () => {
  it.each([
    ['a text that is not JSON', '{'],
    ['a number', '7'],
    ['null', 'null'],
    ['an array', '[]'],
    ['a text', '"text"'],
    ['a text that is too long', 'x'.repeat(9000)],
    ['an envelope that is an array', '{"logicalContext":[]}'],
    ['an envelope of another version', '{"logicalContext":{"v":2}}'],
  ])('runs the job of %s, with new ids that are the same in each attempt', async (_, metadata) => {
    const run = bullContext().processor(() => `${requestId.get()} ${traceContext.get()?.traceId}`)
    const job = { queueName: 'jobs', name: 'job', id: '1', attemptsStarted: 1, opts: { telemetry: { metadata } } }

    const attempts = [await run(job as never), await run({ ...job, attemptsStarted: 2 } as never)]

    expect(attempts[0]).toMatch(/^[\da-f-]{36} [\da-f]{32}$/)
    expect(attempts[1]).toBe(attempts[0])
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

  it('has one trace and one request id for the attempts of a run, also with the method of the queue', async () => {
    const context = bullContext({ propagators })
    const { telemetry } = context
    const queue = new Queue('failing', { connection: connection(), telemetry })
    const runs = new Map<string, string[]>()
    const all = Promise.withResolvers<void>()
    let count = 0
    const processor = context.processor((job) => {
      const ids = `${requestId.get()} ${traceContext.get()?.traceId}`
      runs.set(String(job.id), [...(runs.get(String(job.id)) ?? []), ids])
      if (++count === 8) all.resolve()
      if (job.attemptsStarted === 1) throw new Error('the first attempt fails')
    })

    const template = { name: 'run', opts: { attempts: 2 } }
    await context.upsertJobScheduler(queue, 'ours', { every: 50, limit: 2 }, template)
    await asRequest(() => queue.upsertJobScheduler('theirs', { every: 50, limit: 2 }, template))
    const worker = new Worker('failing', processor, { connection: connection(), telemetry })
    await all.promise
    await context.close([worker])
    await queue.close()

    const ids = Array.from(runs.values(), (attempts) => [attempts.length, new Set(attempts).size])
    expect(ids.map(String)).toEqual(['2,1', '2,1', '2,1', '2,1'])
    expect(new Set([...runs.values()].flat()).size).toBe(4)
  })

  it('counts each job as sent once, by its queue, and none for a retry', async () => {
    const context = bullContext({ propagators })
    const { telemetry } = context
    const sent: string[] = []
    const note = ({ queue, policy }: MessageSendEvent) => sent.push(`${queue} ${policy}`)
    channels.messageSend.subscribe(note)
    onTestFinished(() => void channels.messageSend.unsubscribe(note))
    const queue = new Queue('counted.queue', { connection: connection(), telemetry })
    const done = Promise.withResolvers<void>()
    const processor = context.processor((job) => {
      if (job.attemptsStarted < 3) throw new Error('again')
      if (job.name === 'last') done.resolve()
    })

    await queue.add('first', {}, { attempts: 3 })
    await queue.addBulk([{ name: 'bulk', data: {}, opts: { attempts: 3, backoff: 1 } }])
    await context.add(queue, 'last', {}, { attempts: 3, policy: 'isolate' })
    const worker = new Worker('counted.queue', processor, { connection: connection(), telemetry })
    await done.promise
    await context.close([worker])
    await queue.close()

    expect(sent).toEqual(['counted.queue inherit', 'counted.queue inherit', 'counted.queue isolate'])
  })

  it('puts a job back whose handler stopped at the limit of the close, also if it may be tried only once', async () => {
    const context = bullContext({ propagators })
    const { telemetry } = context
    const queue = new Queue('abandoned', { connection: connection(), telemetry })
    const outcomes: string[] = []
    const note = ({ outcome }: MessageEndEvent) => outcomes.push(outcome)
    channels.messageEnd.subscribe(note)
    onTestFinished(() => void channels.messageEnd.unsubscribe(note))
    const begun = Promise.withResolvers<void>()
    const processor = context.processor(async (_job, { signal }) => {
      begun.resolve()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      throw signal.reason
    })

    const trace = await asRequest(() => queue.add('job', {}))
    const worker = new Worker('abandoned', processor, { connection: connection(), telemetry })
    await begun.promise
    const report = await context.close([worker], { timeoutMs: 0, graceMs: 5000 })
    const again = Promise.withResolvers<unknown>()
    const second = context.processor((job) =>
      again.resolve([tenant.get(), traceContext.get()?.traceId, job.attemptsMade, message.get()?.attempt]),
    )
    const other = new Worker('abandoned', second, { connection: connection(), telemetry })
    const seen = await again.promise
    await context.close([other])
    await queue.close()

    expect(report.unfinishedJobs).toMatchObject([{ name: 'job', ended: true }])
    expect(seen).toEqual(['acme', trace.traceId, 0, 2])
    expect(outcomes).toEqual(['cancelled', 'done'])
  })

  it('does not count a job that its handler has moved as a failure', async () => {
    const context = bullContext({ propagators })
    const queue = new Queue('moved', { connection: connection(), telemetry: context.telemetry })
    const outcomes: string[] = []
    const note = ({ outcome, job }: MessageEndEvent) => outcomes.push(`${job.attempt} ${outcome} ${tenant.get()}`)
    channels.messageEnd.subscribe(note)
    onTestFinished(() => void channels.messageEnd.unsubscribe(note))
    const processor = context.processor(async (job, _scope, token) => {
      if (job.attemptsStarted > 1) return
      await job.moveToDelayed(Date.now() + 1, token)
      throw new DelayedError()
    })

    await asRequest(() => queue.add('job', {}))
    const worker = new Worker('moved', processor, { connection: connection() })
    await new Promise((resolve) => worker.once('completed', resolve))
    await context.close([worker])
    await queue.close()

    expect(outcomes).toEqual(['1 done acme', '2 done acme'])
  })

  it('runs a sandboxed processor in the context of each job', async () => {
    const context = bullContext({ propagators: sandboxPropagators })
    const { telemetry } = context
    const queue = new Queue('sandboxed', { connection: connection(), telemetry })
    const results: unknown[] = []
    const two = Promise.withResolvers<void>()
    const file = fileURLToPath(new URL('workers/bullmq-sandbox.ts', import.meta.url))

    const worker = new Worker('sandboxed', file, {
      connection: connection(),
      telemetry,
      useWorkerThreads: true,
      workerThreadsOptions: { execArgv: ['--conditions=logical-context-source'] },
    })
    worker.on('failed', (_job, error) => two.reject(error))
    worker.on('completed', (_job, result) => {
      if (results.push(result) === 2) two.resolve()
    })
    await runInScope(async () => {
      sandboxTenant.set('acme')
      requestId.set('r-1')
      await queue.add('inherited', {})
      await context.add(queue, 'isolated', {}, { policy: { except: [sandboxTenant] } })
    })
    await two.promise
    await context.close([worker])
    await queue.close()

    expect(results).toMatchObject([
      { name: 'inherited', tenant: 'acme', requestId: 'r-1', attempt: 1 },
      { name: 'isolated', tenant: 'acme', requestId: 'r-1', attempt: 1 },
    ])
  }, 20_000)

  it('rejects an enqueue whose connection ended before the answer: the job may be accepted', async () => {
    const context = bullContext({ propagators })
    const gate = await startGate(server.port)
    const options = { host: '127.0.0.1', port: gate.port, retryStrategy: () => null }
    const queue = new Queue('lost', { connection: options, telemetry: context.telemetry })
    queue.on('error', () => {})
    await queue.waitUntilReady()

    const held = gate.hold()
    const added = context.add(queue, 'job', {}).catch((error: unknown) => error)
    await held
    await gate.cut()

    expect(await added).toMatchObject({ code: 'LCTX_ENQUEUE_TIMEOUT', message: expect.stringContaining('may accept') })
    await queue.close()
  })

  it('closes within its limit although Redis does not answer', async () => {
    const context = bullContext({ propagators })
    const gate = await startGate(server.port)
    const worker = new Worker(
      'silent',
      context.processor(() => {}),
      {
        connection: { host: '127.0.0.1', port: gate.port, maxRetriesPerRequest: null },
      },
    )
    worker.on('error', () => {})
    await worker.waitUntilReady()
    void gate.hold()

    const report = await context.close([worker], { timeoutMs: 0, graceMs: 0 })
    await gate.cut()

    expect(report.unfinishedJobs).toEqual([])
  })

  it('closes all workers although one fails to pause, and then throws its failure', async () => {
    const context = bullContext()
    const closed: string[] = []
    const workers = ['first', 'second'].map((queueName) => {
      const worker = new Worker(
        queueName,
        context.processor(() => {}),
        { connection: connection() },
      )
      return worker.on('closed', () => closed.push(queueName))
    })
    await Promise.all(workers.map((worker) => worker.waitUntilReady()))
    Object.assign(workers[0] ?? {}, { pause: () => Promise.reject(new Error('no connection')) })

    await expect(context.close(workers)).rejects.toThrow('no connection')

    expect(closed.toSorted()).toEqual(['first', 'second'])
  })

  it('works next to another telemetry, whose metadata and spans stay its own', async () => {
    const calls: string[] = []
    const theirs = new AsyncLocalStorage<string>()
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
        with: (found, fn) => theirs.run(found as string, fn as () => ReturnType<typeof fn>),
        active: () => theirs.getStore() ?? 'active',
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
    const seen = Promise.withResolvers<string>()

    await asRequest(() => queue.add('job', {}))
    const processor = context.processor(() => seen.resolve(`${tenant.get()}, ${theirs.getStore()}`))
    const worker = new Worker('composed', processor, { connection: connection(), telemetry })
    const both = await seen.promise
    await context.close([worker])
    await queue.close()

    expect(both).toBe('acme, theirs of active+span+span')
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
