import { PGlite } from '@electric-sql/pglite'
import { ContextVar, runInScope } from 'logical-context'
import { contextBoss, openBoss } from 'logical-context/messages/pg-boss'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { describeMessages, type Engine } from 'logical-context/testing'
import { requestId, TraceContext, traceContext } from 'logical-context/variables'
import { type Db, fromPglite, PgBoss } from 'pg-boss'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { envelopeKey } from '../../src/messages/envelope.ts'
import { startGate } from '../servers/gate.ts'
import { postgresProgram, startPostgres } from '../servers/postgres.ts'
import { needs, type RunningServer, temporaryDirectory } from '../servers/server.ts'
import { startWorkerProcess } from './worker-process.ts'

const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
const propagators = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { tenant } })]

let queues = 0

/** An engine over a boss; each queue has a boss of its own, as each is closed by itself. */
function engineOf(startBoss: () => Promise<PgBoss>): Engine {
  return {
    async open(options, lostAfterMs) {
      const boss = await startBoss()
      const context = contextBoss(boss, options)
      const queue = `jobs-${++queues}`
      const expireInSeconds = lostAfterMs === undefined ? undefined : lostAfterMs / 1000
      await boss.createQueue(queue, { retryLimit: 1, retryDelay: 0, ...(expireInSeconds && { expireInSeconds }) })
      const polling = { pollingIntervalSeconds: 0.5, localConcurrency: 2 }
      let closed = false
      return {
        name: queue,
        enqueue: (data, policy) => context.send(queue, data, policy && { policy }),
        enqueueRaw: (data, fields) => boss.send(queue, { ...data, [envelopeKey]: fields }),
        work: (handler) =>
          context.work<Record<string, unknown>>(queue, polling, ({ data }, scope) => handler(data, scope)),
        closeWorkers(closeOptions) {
          closed = true
          return context.close(closeOptions)
        },
        close: async () => closed || context.close({ timeoutMs: 0, graceMs: 0 }),
      }
    },
  }
}

async function started(boss: PgBoss): Promise<PgBoss> {
  // A test ends the server.
  boss.on('error', (error) => console.error(String(error)))
  return boss.start()
}

describe('on the embedded PGlite', () => {
  let pglite: PGlite
  beforeAll(async () => {
    pglite = await PGlite.create()
  }, 120_000)
  afterAll(() => pglite.close())

  describeMessages(
    { describe, it, expect },
    'pg-boss',
    engineOf(() =>
      started(new PgBoss({ db: fromPglite(pglite), backend: 'pglite', schedule: false, supervise: false })),
    ),
  )
})

const { name, skip } = needs(postgresProgram, 'postgresql')

describe.skipIf(skip)(`on PostgreSQL${name}`, () => {
  let server: RunningServer
  beforeAll(async () => {
    server = await startPostgres()
  }, 60_000)
  afterAll(() => server.stop())

  describeMessages({ describe, it, expect }, 'pg-boss', {
    ...engineOf(() => started(new PgBoss({ connectionString: server.url, schedule: false, supervise: false }))),
    kill: () => server.kill(),
    restart: () => server.restart(),
    startWorker: ({ name: queue = '' }) => startWorkerProcess('pg-boss', server.url, queue),
  })

  it('aborts the signal of a job that expires, and keeps one of two jobs with the same id', async () => {
    const context = await openBoss({ url: server.url })
    await context.boss.createQueue('expiring', { expireInSeconds: 1, retryLimit: 0 })
    const id = crypto.randomUUID()
    const ended = Promise.withResolvers<boolean>()

    const ids = [await context.send('expiring', {}, { id }), await context.send('expiring', {}, { id })]
    await context.work('expiring', { pollingIntervalSeconds: 0.5 }, async (_job, { signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      ended.resolve(signal.aborted)
    })

    expect(await ended.promise).toBe(true)
    expect(ids).toEqual([id, null])
    await context.close()
  })

  it('enqueues in a transaction of the program: a rollback takes the job back', async () => {
    const context = await openBoss({ url: server.url })
    await context.boss.createQueue('transactional')
    const { default: pg } = await import('pg')
    const client = new pg.Client(server.url)
    await client.connect()
    const db = { executeSql: (text: string, values?: unknown[]) => client.query(text, values) }

    await client.query('BEGIN')
    const id = await context.send('transactional', { n: 1 }, { db })
    await client.query('ROLLBACK')
    const [job] = await context.boss.findJobs('transactional', { id: String(id) })
    await client.end()
    await context.close()

    expect(id).toMatch(/^[\da-f-]{36}$/)
    expect(job).toBeUndefined()
  })

  it('passes the transaction of a transactional worker to its handlers, which commits with the job', async () => {
    const context = await openBoss({ url: server.url, propagators })
    const [one, many] = [Promise.withResolvers<unknown>(), Promise.withResolvers<unknown>()]
    const see = async (transaction: Db | undefined) => {
      const result = await transaction?.executeSql("SELECT current_setting('transaction_isolation') AS level", [])
      return [tenant.get(), (result?.rows as { level: string }[] | undefined)?.[0]?.level]
    }

    for (const queue of ['one', 'many']) await context.boss.createQueue(queue)
    await runInScope(async () => {
      tenant.set('acme')
      await context.send('one', {})
      await context.send('many', {})
    })
    const options = { transactional: true, pollingIntervalSeconds: 0.5 }
    await context.work('one', options, async (_job, _scope, transaction) => one.resolve(await see(transaction)))
    await context.workBatch('many', options, async ([item], _scope, transaction) =>
      many.resolve(await item?.run(() => see(transaction))),
    )

    expect(await Promise.all([one.promise, many.promise])).toEqual([
      ['acme', 'read committed'],
      ['acme', 'read committed'],
    ])
    await context.close()
  })

  it('has the same ids in each attempt of a job without a context', async () => {
    const context = await openBoss({ url: server.url, propagators })
    const ids: string[] = []
    const twice = Promise.withResolvers<void>()

    await context.boss.createQueue('foreign', { retryLimit: 1, retryDelay: 0 })
    await context.boss.send('foreign', { n: 1 })
    await context.work('foreign', { pollingIntervalSeconds: 0.5 }, () => {
      if (ids.push(`${requestId.get()} ${traceContext.get()?.traceId}`) === 2) twice.resolve()
      throw new Error('again')
    })
    await twice.promise
    await context.close()

    expect(new Set(ids).size).toBe(1)
  })

  it('rejects an enqueue whose connection ended before the answer, and closes although the database does not answer', async () => {
    const gate = await startGate(server.port)
    const context = await openBoss({ url: server.url.replace(String(server.port), String(gate.port)) })
    const errors = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => errors.mockRestore())
    await context.boss.createQueue('lost')

    const held = gate.hold()
    const sent = context.send('lost', {}).catch((error: unknown) => error)
    await held
    const report = await context.close({ timeoutMs: 0, graceMs: 0 })
    await gate.cut()

    expect(await sent).toMatchObject({ code: 'LCTX_ENQUEUE_TIMEOUT', message: expect.stringContaining('may accept') })
    expect(report.unfinishedJobs).toEqual([])
  })

  it('starts the runs of schedules empty, each in a new trace', async () => {
    const intervals = { cronMonitorIntervalSeconds: 1, cronWorkerIntervalSeconds: 1 }
    const context = await openBoss({ url: server.url, propagators, boss: { schema: 'scheduled', ...intervals } })
    const runs: unknown[][] = []
    const two = Promise.withResolvers<void>()

    const trace = await runInScope(async () => {
      tenant.set('acme')
      requestId.set('r-1')
      traceContext.set(new TraceContext())
      await context.boss.createQueue('nightly')
      // pg-boss sends the occurrence of the last minute at once, and each schedule only once in a minute.
      for (const key of ['a', 'b']) await context.boss.schedule('nightly', '* * * * *', { key }, { key })
      await context.work('nightly', { pollingIntervalSeconds: 0.5 }, ({ data }) => {
        runs.push([data, tenant.get(), requestId.get(), traceContext.get()?.traceId])
        if (runs.length === 2) two.resolve()
      })
      return traceContext.get()
    })
    await two.promise
    await context.close()

    const [first, second] = runs.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))
    expect([first?.slice(0, 2), second?.slice(0, 2)]).toEqual([
      [{ key: 'a' }, undefined],
      [{ key: 'b' }, undefined],
    ])
    expect(new Set(['r-1', first?.[2], second?.[2]]).size).toBe(3)
    expect(new Set([trace?.traceId, first?.[3], second?.[3]]).size).toBe(3)
  }, 20_000)

  it('rejects an enqueue that the database does not answer in time: the job may be accepted', async () => {
    const context = await openBoss({ url: server.url, enqueueTimeoutMs: 50 })
    await context.boss.createQueue('down')
    const { default: pg } = await import('pg')
    const blocker = new pg.Client(server.url)
    await blocker.connect()
    await blocker.query('BEGIN; LOCK TABLE pgboss.job IN ACCESS EXCLUSIVE MODE')

    const failure = await context.send('down', {}).catch((error: unknown) => error)
    await blocker.query('ROLLBACK')
    await blocker.end()
    await context.close()

    expect(failure).toMatchObject({ code: 'LCTX_ENQUEUE_TIMEOUT', message: expect.stringContaining('may accept') })
  })
})

describe('openBoss', () => {
  it('closes once, also after pg-boss has refused a worker: a second close returns the report of the first', async () => {
    const context = await openBoss()
    await expect(context.work('', () => {})).rejects.toThrow('queue name')

    const [first, second] = await Promise.all([context.close(), context.close()])

    expect(second).toBe(first)
    expect(await context.close()).toBe(first)
  }, 120_000)

  it('keeps jobs in a directory, which one process at a time may use', async () => {
    const { path, remove } = await temporaryDirectory()
    const first = await openBoss({ directory: path })
    await first.boss.createQueue('kept')
    const id = await first.send('kept', { n: 1 })

    const failure = await openBoss({ directory: path }).catch((error: unknown) => error)
    await first.close()
    const second = await openBoss({ directory: path })
    const [job] = await second.boss.findJobs('kept', { id: String(id) })
    await second.close()
    await remove()

    expect(failure).toMatchObject({ message: expect.stringMatching(/is in use by process \d+: two processes/) })
    expect(job?.data).toMatchObject({ n: 1 })
  }, 120_000)

  it.each([
    ['an address that is not a string', { url: 1 }, /openBoss: option 'url' expected a string/],
    ['an address and a directory', { url: 'postgres://x', directory: 'y' }, /expected 'url' or 'directory', got both/],
    ['an unknown option', { database: 'x' }, /unknown option 'database'/],
  ])('refuses %s', async (_, options, message) => {
    await expect(openBoss(options as never)).rejects.toThrow(message)
  })
})
