import { randomUUID } from 'node:crypto'
import type { FlowJob, Job, JobsOptions, Queue, Telemetry, Worker } from 'bullmq'
import {
  anAmount,
  anyOf,
  anything,
  checkArgument,
  checkFunction,
  checkOptions,
  type Checks,
  isFunction,
  splitOptions,
} from '../options.ts'
import type { DrainOptions } from '../tasks/drain.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { type BullMetadata, ContextTelemetry, parsedMetadata } from './bullmq-telemetry.ts'
import { openEnvelope, withEnvelope } from './envelope.ts'
import { type CloseReport, type MessagePolicy, Messages, type MessagesOptions } from './message.ts'
import { policyChecks, type PolicyOption } from './message-fields.ts'
import { defaultEnqueueTimeoutMs, messagesChecks } from './messages-options.ts'
import { checkBatch, engineObject, lostMessage } from './received-message.ts'
import { closeChecks, isAbandoned, stopMsAfter, within } from './running-jobs.ts'

export type { CloseReport, MessagePolicy, MessagesOptions, UnfinishedJob } from './message.ts'

/** Options of `bullContext`. */
export interface BullContextOptions extends MessagesOptions {
  /** Another telemetry that works next to the context, for example a `BullMQOtel`. Default: none. */
  telemetry?: Telemetry
  /** How long `add` waits for Redis, in milliseconds. Default: 10,000. */
  enqueueTimeoutMs?: number
}

/** Runs one job. `scope` is the unit of this attempt. */
export type BullHandler<Data, Result> = (
  job: Job<Data, Result>,
  scope: RequestScope,
  token: string | undefined,
) => Result | PromiseLike<Result>

/** The context for the queues, flows and workers of BullMQ. */
export interface BullContext {
  /** For the option `telemetry` of each `Queue`, `FlowProducer` and `Worker`: it writes the sender's context. */
  readonly telemetry: Telemetry
  /** What was not read and not written, counted; and the group that owns the tasks of jobs. */
  readonly messages: Messages
  /**
   * Adds a job with a policy of its own, and waits for Redis at most for a time. `queue.add` of a queue with the
   * telemetry does the same by the default policy and without a limit.
   *
   * @throws {TypeError} if the policy is `share`, or names a variable that does not travel.
   * @throws {EnqueueTimeoutError} if Redis has not answered in time, or before the connection ended: the job may have been
   *   accepted.
   */
  add<Data>(
    queue: Queue<Data>,
    name: string,
    data: Data,
    options?: JobsOptions & { policy?: MessagePolicy },
  ): Promise<Job<Data>>
  /** The options of a job with a policy, for `addBulk`. */
  jobOptions(queue: string, policy: MessagePolicy, options?: JobsOptions): JobsOptions
  /**
   * A flow whose jobs carry the context, for `flows.add`. BullMQ 6.7 itself writes no metadata for a job of a flow that
   * has no `opts`.
   */
  flow(job: FlowJob, policy?: MessagePolicy): FlowJob
  /**
   * Creates or changes a scheduler, as `queue.upsertJobScheduler` does, and stores nothing of the code that calls it. Its
   * runs start empty, also if it was created with the method of the queue.
   *
   * @throws {EnqueueTimeoutError} if Redis has not answered in time: the scheduler may have been created.
   */
  upsertJobScheduler<Data>(
    queue: Queue<Data>,
    ...args: Parameters<Queue<Data>['upsertJobScheduler']>
  ): ReturnType<Queue<Data>['upsertJobScheduler']>
  /**
   * A processor for a `Worker`: it runs each attempt as a unit of its own, whose signal aborts if the lock is lost. A job
   * whose handler stopped because a close aborted it goes back to its queue.
   */
  processor<Data, Result>(
    handler: BullHandler<Data, Result>,
  ): (job: Job<Data, Result>, token?: string, signal?: AbortSignal) => Promise<Result>
  /**
   * Stops the workers: they take no more jobs, running jobs are waited for and aborted at the limit, and the rest is
   * reported. BullMQ delivers it again when its lock has expired.
   */
  close(workers: readonly Worker[], options?: DrainOptions): Promise<CloseReport>
}

const aTelemetry = anyOf('a Telemetry of BullMQ', (value) => {
  const { tracer, contextManager } = Object(value) as Partial<Telemetry>
  return typeof tracer === 'object' && typeof contextManager === 'object'
})
const aQueue = anyOf('a Queue of BullMQ', (value) => {
  const { name, add } = Object(value) as Partial<Queue>
  return typeof name === 'string' && isFunction(add)
})
const aScheduler = engineObject('a Queue of BullMQ', 'upsertJobScheduler')
const aWorker = engineObject('a Worker of BullMQ', 'pause')
const checks: Checks = { ...messagesChecks, telemetry: aTelemetry, enqueueTimeoutMs: anAmount }

type FlowParts = Pick<FlowJob, 'opts' | 'children'>
// BullMQ checks the options.
const flowChecks: Checks = { opts: anything, children: anyOf('an array of jobs', Array.isArray) }

/**
 * Carries the context through BullMQ 6, by its `telemetry` option.
 *
 * A job of a scheduler starts empty, in a new trace for each run: it never has the context of the code that has created
 * the schedule.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type.
 */
export function bullContext(options?: BullContextOptions): BullContext {
  const {
    telemetry: inner,
    enqueueTimeoutMs = defaultEnqueueTimeoutMs,
    ...shared
  } = checkOptions('bullContext', options, checks)
  const messages = new Messages('bullContext', shared, 'bullmq')

  function metadataFor(queue: string, policy?: MessagePolicy, theirs?: string): string {
    const metadata: BullMetadata = theirs === undefined ? {} : { telemetry: theirs }
    return JSON.stringify(withEnvelope(metadata, messages.capture(queue, policy)))
  }

  const telemetry = new ContextTelemetry(inner, metadataFor)

  function currentMetadata(queue: string, policy: MessagePolicy | undefined): string {
    return metadataFor(queue, policy, inner?.contextManager.getMetadata(inner.contextManager.active()))
  }

  function jobOptions(queue: string, policy: MessagePolicy | undefined, given?: JobsOptions): JobsOptions {
    const { others: jobsOptions } = splitOptions<object, JobsOptions>('jobOptions', given, {})
    // BullMQ replaces the metadata of a job that does not say to omit the context.
    return { ...jobsOptions, telemetry: { metadata: currentMetadata(queue, policy), omitContext: true } }
  }

  function flow(given: FlowJob, policy?: MessagePolicy): FlowJob {
    const { own, others: job } = splitOptions<FlowParts, FlowJob>('flow', given, flowChecks)
    const { opts, children } = { opts: undefined, children: undefined, ...own }
    return {
      ...job,
      opts: jobOptions(job.queueName, policy, opts),
      ...(children && { children: children.map((child) => flow(child, policy)) }),
    }
  }

  return {
    messages,
    telemetry,
    jobOptions,
    flow,
    async add(queue, name, data, given) {
      checkArgument('add', aQueue, queue)
      const { own, others } = splitOptions<PolicyOption, JobsOptions>('add', given, policyChecks)
      const metadata = currentMetadata(queue.name, own.policy)
      const added = telemetry.withMetadata(queue.name, metadata, () =>
        (queue as unknown as Queue).add(name, data, { ...others, telemetry: { metadata, omitContext: true } }),
      )
      return messages.enqueue(queue.name, enqueueTimeoutMs, added)
    },
    async upsertJobScheduler(queue, id, repeat, template) {
      checkArgument('upsertJobScheduler', aScheduler, queue)
      // The attempts of a run have one trace, and each run another one: their ids derive from this one and from the run's.
      const metadata = JSON.stringify({ schedule: randomUUID() })
      const opts = { ...template?.opts, telemetry: { metadata, omitContext: true } }
      const upserted = queue.upsertJobScheduler(id, repeat, { ...template, opts })
      return messages.enqueue(queue.name, enqueueTimeoutMs, upserted)
    },
    processor(handler) {
      checkFunction('processor', handler)
      // BullMQ passes a signal to a processor of three parameters.
      return async (job, token, signal) => {
        cancelLostJobs(job)
        const { queueName: queue, name, id, attemptsStarted, repeatJobKey, opts } = job
        const metadata = opts.telemetry?.metadata
        const { fields, refused } = openEnvelope(parsedMetadata(repeatJobKey === undefined ? metadata : undefined))
        if (refused !== undefined) messages.refuse(queue, refused)
        // Another Redis has jobs of the same ids, but no metadata with the same random ids.
        const uniqueId = metadata ? `${queue}:${id}:${metadata}` : undefined
        const received = { queue, name, id, uniqueId, attempt: attemptsStarted, fields, signal }
        const run = telemetry.inCurrentContext((scope: RequestScope) => handler(job, scope, token))
        let moved: unknown
        const attempt = async (scope: RequestScope) => {
          try {
            return await run(scope)
          } catch (error) {
            if (isAbandoned(scope, error)) moved = await movedBack(job, token, error)
            if (!isMove(error)) throw error
            // The handler has moved the job, and has not failed.
            moved = error
            return undefined
          }
        }
        try {
          const result = await messages.process(received, attempt)
          if (moved === undefined) return result as NonNullable<typeof result>
        } catch (error) {
          throw moved ?? error
        }
        throw moved
      }
    },
    async close(workers, given) {
      checkBatch('close', aWorker, workers)
      const drainOptions = checkOptions('close', given, closeChecks)
      const failures: unknown[] = []
      // A worker that fails does not keep the others open: a listener of its events can throw.
      const all = (stop: (worker: Worker) => unknown) =>
        Promise.all(
          workers.map(async (worker) => {
            try {
              await stop(worker)
            } catch (error) {
              failures.push(error)
            }
          }),
        )
      const paused = all((worker) => worker.pause(true))
      const report = await messages.close(drainOptions, paused)
      // A worker waits for its attempts without a limit.
      const force = messages.running > 0
      const closed = all((worker) => worker.close(force))
      await within(stopMsAfter(report, drainOptions), closed)
      if (failures.length > 0) throw failures[0]
      return report
    },
  }
}

/** The names of BullMQ's errors for a job that its processor has moved. */
const moves: ReadonlySet<unknown> = new Set(['DelayedError', 'WaitingError', 'WaitingChildrenError', 'RateLimitError'])

function isMove(error: unknown): boolean {
  return moves.has((error as Partial<Error> | null | undefined)?.name)
}

const watched = new WeakSet<object>()

/** BullMQ publishes that a lock was not renewed, and leaves it to the program to cancel the job. */
function cancelLostJobs(job: object): void {
  // Jobs of a worker refer to it.
  const { queue: worker } = job as { queue?: Partial<Worker> }
  if (worker?.on === undefined || worker.cancelJob === undefined || watched.has(worker)) return
  watched.add(worker)
  worker.on('lockRenewalFailed', (ids) => {
    for (const id of ids) worker.cancelJob?.(id, lostMessage('its lock was lost') as never)
  })
}

/**
 * Puts a job back into its queue, to be delivered again: a job that fails has one attempt less, or none. Returns what its
 * processor throws: BullMQ's error for a job that was moved, or `error` if it could not be moved.
 */
async function movedBack(job: Job, token: string | undefined, error: unknown): Promise<unknown> {
  const { WaitingError } = await import('bullmq')
  const isMoved = await job.moveToWait(token).then(
    () => true,
    () => false,
  )
  return isMoved ? new WaitingError() : error
}
