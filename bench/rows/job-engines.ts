import assert from 'node:assert/strict'
import type { PgBoss } from 'pg-boss'
import { type MicroRow, ours, type Side, type Work } from '../harness/row.ts'
import { postgresProgram, startPostgres } from '../../test/servers/postgres.ts'
import { redisProgram, startRedis } from '../../test/servers/redis.ts'
import { bullOtel, declared, tenant } from './job-contexts.ts'

/** How many jobs an operation enqueues at once. It ends when all have run. */
const units = 500
const about =
  'A request enqueues 500 jobs at once, on a server of its own on this machine, and a worker with a concurrency of 20 ' +
  'runs them without a pause. Each handler reads a value of the request; without a context it reads it from the data of the job.'

/** An engine that runs. */
interface JobEngine {
  enqueue(): Promise<unknown>
  /** Wakes the workers. */
  wake?(): void
  /** Runs the operation as a request. */
  within?<R>(loop: () => R): R
  close(): Promise<unknown>
}

type Seen = (value: unknown) => void

const byPgBoss: MicroRow = {
  kind: 'micro',
  newestNodeOnly: true,
  name: 'job-pg-boss',
  title: 'Jobs of pg-boss on PostgreSQL',
  about,
  rate: 'jobs/s',
  sides: [
    side('pg-boss', 'floor', async (seen) => {
      const { boss, close } = await startBoss()
      const wake = await startWorkers(boss, (done) =>
        boss.work<{ tenant: string }>('jobs', async ([job]) => {
          seen(job?.data.tenant)
          done()
        }),
      )
      return { enqueue: () => boss.send('jobs', { tenant }), wake, close }
    }),
    side(ours, 'ours', async (seen) => {
      const { boss, close } = await startBoss()
      const { contextBoss } = await import('logical-context/messages/pg-boss')
      const { variable, propagators, inRequest } = await ofRequest()
      const jobs = contextBoss(boss as never, { propagators })
      const wake = await startWorkers(boss, (done) =>
        jobs.work('jobs', () => {
          seen(variable.get())
          done()
        }),
      )
      return { enqueue: () => jobs.send('jobs', { tenant }), wake, within: inRequest, close }
    }),
  ],
  targets: [{ words: 'at least 90 % of the jobs/s', figure: 'ns', against: 'floor', atMost: 1 / 0.9 }],
}

const byBullMQ: MicroRow = {
  kind: 'micro',
  newestNodeOnly: true,
  name: 'job-bullmq',
  title: 'Jobs of BullMQ on Redis',
  about: `${about} BullMQOtel has no spans here, as without an SDK.`,
  rate: 'jobs/s',
  sides: [
    side('BullMQ', 'floor', async (seen) =>
      startBull(undefined, async (job) => seen((job as { data: { tenant: string } }).data.tenant)),
    ),
    side(ours, 'ours', async (seen) => {
      const { bullContext } = await import('logical-context/messages/bullmq')
      const { variable, propagators, inRequest } = await ofRequest()
      const { telemetry, processor } = bullContext({ propagators })
      return {
        ...(await startBull(
          telemetry,
          processor(() => seen(variable.get())),
        )),
        within: inRequest,
      }
    }),
    side('BullMQOtel', 'peer', async (seen) => {
      const { telemetry, inRequest, read } = await bullOtel()
      return { ...(await startBull(telemetry, async () => seen(read()))), within: inRequest }
    }),
  ],
  targets: [{ words: 'at least 90 % of the jobs/s', figure: 'ns', against: 'floor', atMost: 1 / 0.9 }],
}

/** The rows whose servers are installed. */
export const jobEngines: readonly MicroRow[] = [
  ...(postgresProgram === undefined ? [] : [byPgBoss]),
  ...(redisProgram === undefined ? [] : [byBullMQ]),
]

function side(name: string, role: Side['role'], start: (seen: Seen) => Promise<JobEngine>): Side {
  return { name, role, setup: async () => workOf(start) }
}

async function workOf(start: (seen: Seen) => Promise<JobEngine>): Promise<Work> {
  let left = 0
  let last = Promise.withResolvers<unknown>()
  const {
    enqueue,
    wake,
    within = (loop) => loop(),
    close,
  } = await start((value) => {
    if (--left === 0) last.resolve(value)
  })
  const op = async (jobs = units) => {
    left = jobs
    last = Promise.withResolvers()
    await Promise.all(Array.from({ length: jobs }, enqueue))
    wake?.()
    return last.promise
  }
  return {
    awaited: true,
    // The time of an operation is that of the database.
    elsewhere: true,
    units,
    op: () => op(),
    within,
    close,
    async check() {
      assert.equal(await within(() => op(1)), tenant)
      // The engine and the compiler need some thousand jobs.
      for (let i = 0; i < 4; i++) await within(() => op())
    },
  }
}

async function ofRequest() {
  const { runInScope } = await import('logical-context')
  const { variable, propagators } = await declared.variables()
  const inRequest = <R>(fn: () => R): R =>
    runInScope(() => {
      variable.set(tenant)
      return fn()
    })
  return { variable, propagators, inRequest }
}

/** Starts 20 workers. A worker that is woken fetches its next job at once: by itself it waits for half a second. */
async function startWorkers(boss: PgBoss, start: (done: () => void) => Promise<string>) {
  const ids = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const id: string = await start(() => boss.notifyWorker(id))
      return id
    }),
  )
  return () => ids.forEach((id) => boss.notifyWorker(id))
}

async function startBoss() {
  const { PgBoss } = await import('pg-boss')
  const server = await startPostgres()
  const quiet = { schedule: false, supervise: false, openTelemetry: { enabled: false } }
  const boss = new PgBoss({ connectionString: server.url, ...quiet })
  boss.on('error', console.error)
  await boss.start()
  await boss.createQueue('jobs')
  const close = async () => {
    await boss.stop({ graceful: false })
    await server.stop()
  }
  return { boss, close }
}

async function startBull(telemetry: unknown, processor: (...args: never[]) => unknown) {
  const { Queue, Worker } = await import('bullmq')
  const server = await startRedis()
  const options = {
    connection: { host: '127.0.0.1', port: server.port, maxRetriesPerRequest: null },
    ...(telemetry !== undefined && { telemetry: telemetry as never }),
  }
  const queue = new Queue('jobs', { ...options, defaultJobOptions: { removeOnComplete: true } })
  const worker = new Worker('jobs', processor as never, { ...options, concurrency: 20 })
  const close = async () => {
    await Promise.all([worker.close(true), queue.close()])
    await server.stop()
  }
  return { enqueue: () => queue.add('job', { tenant }), close }
}
