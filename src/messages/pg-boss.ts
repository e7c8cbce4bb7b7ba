import type { ConstructorOptions, Db, Job, PgBoss, SendOptions, WorkHandler, WorkOptions } from 'pg-boss'
import { loadPackage } from '../errors.ts'
import {
  anAmount,
  anyOf,
  aString,
  checkArgument,
  checkFunction,
  checkOptions,
  isFunction,
  type Checks,
  show,
  splitOptions,
} from '../options.ts'
import type { DrainOptions } from '../tasks/drain.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { lockDirectory } from './directory-lock.ts'
import { enclosable, openEnvelope, withEnvelope, withoutMethods } from './envelope.ts'
import {
  type BatchItem,
  type CloseReport,
  type MessagePolicy,
  Messages,
  type MessagesOptions,
  type ReceivedMessage,
} from './message.ts'
import { policyChecks, type PolicyOption } from './message-fields.ts'
import { defaultEnqueueTimeoutMs, messagesChecks } from './messages-options.ts'
import { closeChecks, stopMsAfter, within } from './running-jobs.ts'

export type { BatchItem, CloseReport, MessagePolicy, MessagesOptions, UnfinishedJob } from './message.ts'

const aBoss = anyOf('a PgBoss', (value) => isFunction((value as Partial<PgBoss> | null | undefined)?.stop))

/** Options of `contextBoss`. */
export interface ContextBossOptions extends MessagesOptions {
  /** How long `send` waits for the database, in milliseconds. Default: 10,000. */
  enqueueTimeoutMs?: number
}

/** Options of `openBoss`. */
export interface OpenBossOptions extends ContextBossOptions {
  /** The connection string of a PostgreSQL server. Default: the embedded PGlite. */
  url?: string
  /** Where PGlite keeps its files, for one process at a time. Default: in memory, lost at the end of the process. */
  directory?: string
  /** More options of pg-boss. Default: none. */
  boss?: Omit<ConstructorOptions, 'connectionString' | 'db' | 'backend'>
}

/**
 * Runs one job. `scope` is the unit of this attempt; `job.data` has no envelope. `transaction` is that of a worker with
 * the option `transactional`.
 */
export type JobHandler<Data> = (job: Job<Data>, scope: RequestScope, transaction: Db | undefined) => unknown

/** Runs the jobs of one fetch. The failure of a batch is that of all its jobs. */
export type BatchHandler<Data> = (
  jobs: readonly BatchItem<Job<Data>>[],
  scope: RequestScope,
  transaction: Db | undefined,
) => unknown

/** pg-boss calls the handler of a worker with the option `transactional` with its transaction too. */
type AnyWorkHandler<Data> = (jobs: Job<Data>[], transaction?: Db) => Promise<unknown>

/** A pg-boss whose jobs carry the context of their sender. */
export interface ContextBoss {
  /** The engine itself, for everything that carries no context: queues, schedules, events. */
  readonly boss: PgBoss
  /** What was not read and not written, counted; and the group that owns the tasks of jobs. */
  readonly messages: Messages
  /**
   * Enqueues a job. It takes the options of `boss.send`, `db` and `id` included, and a policy.
   *
   * @throws {TypeError} if the data is an array, if the policy is `share`, or names a variable that does not travel.
   * @throws {EnqueueTimeoutError} if the database did not answer in time, or before its connection ended: the job may
   *   have been accepted.
   */
  send(queue: string, data?: object | null, options?: SendOptions & { policy?: MessagePolicy }): Promise<string | null>
  /** Runs `handler` for each job of a queue, as a unit of its own. Returns the id of the worker. */
  work<Data = object>(queue: string, handler: JobHandler<Data>): Promise<string>
  work<Data = object>(queue: string, options: WorkOptions, handler: JobHandler<Data>): Promise<string>
  /**
   * Runs `handler` for up to `batchSize` jobs of a queue: one unit that links to all senders. `item.run(fn)` runs `fn` in
   * the context of one job. Returns the id of the worker.
   */
  workBatch<Data = object>(queue: string, options: WorkOptions, handler: BatchHandler<Data>): Promise<string>
  /**
   * Ends all workers of this `ContextBoss` and the boss. It waits for running jobs, aborts their signals at the limit,
   * and reports the rest; pg-boss delivers them again. A second call returns the report of the first.
   */
  close(options?: DrainOptions): Promise<CloseReport>
}

const checks: Checks = { ...messagesChecks, enqueueTimeoutMs: anAmount }
const openChecks: Checks = {
  ...checks,
  url: aString,
  directory: aString,
  boss: anyOf('an object of options', (value) => typeof value === 'object' && value !== null),
}
const workChecks: Checks = {
  batchSize: anyOf("1, because each job is a unit: use 'localConcurrency'", (value) => value === 1),
}

/**
 * Starts pg-boss 12, on PostgreSQL or on the embedded PGlite. It loads `pg-boss`, and `@electric-sql/pglite` if there is
 * no `url`.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type.
 * @throws {PackageMissingError} if a package is not installed.
 * @throws {Error} if another process uses the directory.
 */
export async function openBoss(options?: OpenBossOptions): Promise<ContextBoss> {
  const { url, directory, boss: more, enqueueTimeoutMs, ...others } = checkOptions('openBoss', options, openChecks)
  if (url !== undefined && directory !== undefined) {
    throw new TypeError("openBoss: expected 'url' or 'directory', got both: a directory is for the embedded database.")
  }
  // Checks the other options before anything starts.
  const messages = new Messages('openBoss', others, 'pg-boss')
  const { PgBoss: Boss, fromPglite } = await loadPackage('openBoss', 'pg-boss', () => import('pg-boss'))
  // The spans of jobs are those of the bridge: pg-boss's own would be in other traces.
  const bossOptions: ConstructorOptions = { openTelemetry: { enabled: false }, ...more }
  if (url !== undefined) {
    return bossOver(await started(new Boss({ ...bossOptions, connectionString: url })), messages, enqueueTimeoutMs)
  }

  const unlock = directory === undefined ? async () => {} : await lockDirectory(directory)
  let free = unlock
  try {
    const embedded = '@electric-sql/pglite'
    const { PGlite } = await loadPackage('openBoss without url', embedded, () => import('@electric-sql/pglite'))
    const pglite = await PGlite.create(directory)
    free = async () => {
      await pglite.close()
      await unlock()
    }
    const boss = await started(new Boss({ ...bossOptions, db: fromPglite(pglite), backend: 'pglite' }))
    return bossOver(boss, messages, enqueueTimeoutMs, free)
  } catch (error) {
    await free()
    throw error
  }
}

/**
 * Adds the context to a boss of yours, which is started and stays the same for all other calls. Enqueue with its `send`,
 * consume with its `work`.
 *
 * @throws {TypeError} if `boss` is not one, or an option is unknown or of the wrong type.
 */
export function contextBoss(boss: PgBoss, options?: ContextBossOptions): ContextBoss {
  checkArgument('contextBoss', aBoss, boss)
  const { enqueueTimeoutMs, ...others } = checkOptions('contextBoss', options, checks)
  return bossOver(boss, new Messages('contextBoss', others, 'pg-boss'), enqueueTimeoutMs)
}

function bossOver(
  boss: PgBoss,
  messages: Messages,
  enqueueTimeoutMs: number = defaultEnqueueTimeoutMs,
  freeEmbedded?: () => Promise<void>,
): ContextBoss {
  const queues = new Set<string>()
  let closed: Promise<CloseReport> | undefined

  async function work<Data>(
    queue: string,
    ...args: [WorkOptions, JobHandler<Data>] | [JobHandler<Data>]
  ): Promise<string> {
    const handler = args.at(-1) as JobHandler<Data>
    checkFunction('work', handler)
    const given = args.length === 1 ? undefined : args[0]
    const { own, others } = splitOptions<Pick<WorkOptions, 'batchSize'>, WorkOptions>('work', given, workChecks)
    const workOptions = { ...others, ...own }
    const run: AnyWorkHandler<Data> = async ([fetched], transaction) => {
      if (fetched === undefined) return undefined
      const { message: job, received } = opened(fetched)
      return messages.process(received, (scope) => handler(job, scope, transaction))
    }
    return startWorker(queue, workOptions, run)
  }

  async function startWorker<Data>(queue: string, options: WorkOptions, run: AnyWorkHandler<Data>): Promise<string> {
    const id = await boss.work<Data>(queue, options, run as WorkHandler<Data>)
    // A worker that pg-boss has refused is none to end.
    queues.add(queue)
    return id
  }

  function opened<Data>(job: Job<Data>): { message: Job<Data>; received: ReceivedMessage } {
    const { id, name: queue, retryCount, signal } = job
    const { data, fields, refused } = openEnvelope(job.data)
    if (refused !== undefined) messages.refuse(queue, refused)
    return { message: { ...job, data }, received: { queue, id, uniqueId: id, attempt: retryCount + 1, fields, signal } }
  }

  return {
    boss,
    messages,
    async send(queue, data, given) {
      const { own, others: sendOptions } = splitOptions<PolicyOption, SendOptions>('send', given, policyChecks)
      const plain = withoutMethods(data)
      checkArgument('send', enclosable, plain)
      const enveloped = withEnvelope(plain, messages.capture(queue, own.policy))
      return messages.enqueue(queue, enqueueTimeoutMs, boss.send(queue, enveloped, sendOptions))
    },
    work,
    async workBatch<Data>(queue: string, workOptions: WorkOptions, handler: BatchHandler<Data>) {
      checkFunction('workBatch', handler)
      const run: AnyWorkHandler<Data> = (jobs, transaction) =>
        messages.processBatch(queue, jobs.map(opened<Data>), (items, scope) => handler(items, scope, transaction))
      return startWorker(queue, workOptions, run)
    },
    async close(given) {
      const closeOptions = checkOptions('close', given, closeChecks)
      return (closed ??= end(closeOptions))
    },
  }

  async function end(closeOptions: DrainOptions): Promise<CloseReport> {
    const ended = Promise.all(Array.from(queues, (queue) => boss.offWork(queue, { wait: false })))
    const report = await messages.close(closeOptions, ended)
    const timeout = stopMsAfter(report, closeOptions)
    // What is left fails in the database, and is delivered again.
    const stopped = boss.stop({ graceful: messages.running === 0, close: true, timeout })
    // A server that does not answer does not hold up the close.
    await (freeEmbedded === undefined ? within(timeout, stopped) : stopped)
    await freeEmbedded?.()
    return report
  }
}

async function started(boss: PgBoss): Promise<PgBoss> {
  // An `error` event without a listener would end the process.
  boss.on('error', (error) => console.error(`logical-context: pg-boss failed: ${show(error)}`))
  return boss.start()
}
