import type { FlowJob, Job, JobsOptions, Queue, Span, SpanOptions, Telemetry, Worker } from 'bullmq'
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
import { envelopeKey, openEnvelope, withEnvelope } from './envelope.ts'
import { type CloseReport, type MessagePolicy, Messages, type MessagesOptions } from './message.ts'
import { policyChecks, type PolicyOption } from './message-fields.ts'
import { defaultEnqueueTimeoutMs, messagesChecks } from './messages-options.ts'
import { checkBatch, engineObject, lostMessage } from './received-message.ts'
import { closeChecks } from './running-jobs.ts'

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
   * @throws {EnqueueTimeoutError} if Redis has not answered in time: the job may have been accepted.
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
   */
  upsertJobScheduler<Data>(
    queue: Queue<Data>,
    ...args: Parameters<Queue<Data>['upsertJobScheduler']>
  ): ReturnType<Queue<Data>['upsertJobScheduler']>
  /** A processor for a `Worker`: it runs each attempt as a unit of its own, whose signal aborts if the lock is lost. */
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
    return JSON.stringify(
      withEnvelope(theirs === undefined ? {} : { telemetry: theirs }, messages.capture(queue, policy)),
    )
  }

  function jobOptions(queue: string, policy: MessagePolicy | undefined, given?: JobsOptions): JobsOptions {
    const { others: jobsOptions } = splitOptions<object, JobsOptions>('jobOptions', given, {})
    const theirs = inner?.contextManager.getMetadata(inner.contextManager.active())
    // BullMQ replaces the metadata of a job that does not say to omit the context.
    return { ...jobsOptions, telemetry: { metadata: metadataFor(queue, policy, theirs), omitContext: true } }
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
    telemetry: new ContextTelemetry(inner, metadataFor),
    jobOptions,
    flow,
    async add(queue, name, data, given) {
      checkArgument('add', aQueue, queue)
      const { own, others } = splitOptions<PolicyOption, JobsOptions>('add', given, policyChecks)
      const added = (queue as unknown as Queue).add(name, data, jobOptions(queue.name, own.policy, others))
      return messages.enqueue(queue.name, enqueueTimeoutMs, added)
    },
    async upsertJobScheduler(queue, id, repeat, template) {
      checkArgument('upsertJobScheduler', aScheduler, queue)
      const opts = { ...template?.opts, telemetry: { omitContext: true } }
      return queue.upsertJobScheduler(id, repeat, { ...template, opts })
    },
    processor(handler) {
      checkFunction('processor', handler)
      // BullMQ passes a signal to a processor of three parameters.
      return async (job, token, signal) => {
        cancelLostJobs(job)
        const { queueName: queue, name, id, attemptsStarted, repeatJobKey, opts } = job
        const { fields, refused } = openEnvelope(
          parsed(repeatJobKey === undefined ? opts.telemetry?.metadata : undefined),
        )
        if (refused !== undefined) messages.refuse(queue, refused)
        const received = { queue, name, id, attempt: attemptsStarted, fields, signal }
        return messages.process(received, (scope) => handler(job, scope, token))
      }
    },
    async close(workers, given) {
      checkBatch('close', aWorker, workers)
      const drainOptions = checkOptions('close', given, closeChecks)
      await Promise.all(workers.map((worker) => worker.pause(true)))
      const report = await messages.close(drainOptions)
      const force = report.unfinishedJobs.length > 0
      await Promise.all(workers.map((worker) => worker.close(force)))
      return report
    },
  }
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

/** BullMQ's metadata is one text. A text that is not JSON has no envelope, and does not change. */
function parsed(metadata: string | undefined): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(metadata ?? '{}')
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : { [envelopeKey]: value }
  } catch {
    return { [envelopeKey]: metadata }
  }
}

/** The context of BullMQ's calls: the other telemetry's, if there is one. */
type Inner = unknown

/** Writes the sender's context into the metadata of each job, next to that of another telemetry. */
class ContextTelemetry implements Telemetry<Inner> {
  readonly tracer: Telemetry<Inner>['tracer']
  readonly contextManager: Telemetry<Inner>['contextManager']
  readonly meter?: NonNullable<Telemetry['meter']>

  constructor(
    inner: Telemetry<Inner> | undefined,
    metadataFor: (queue: string, policy: undefined, theirs?: string) => string,
  ) {
    if (inner?.meter !== undefined) this.meter = inner.meter
    this.tracer = {
      startSpan: (name, options, context) => inner?.tracer.startSpan(name, options, context) ?? noSpan(name, options),
    }
    const theirs = inner?.contextManager
    const root = theirs?.root
    this.contextManager = {
      with: (context, fn) => (theirs === undefined ? (fn() as ReturnType<typeof fn>) : theirs.with(context, fn)),
      active: () => theirs?.active(),
      getMetadata: (context) => metadataFor('bullmq', undefined, theirs?.getMetadata(context)),
      fromMetadata(active, metadata) {
        const { telemetry } = parsed(metadata)
        return typeof telemetry === 'string' && theirs !== undefined ? theirs.fromMetadata(active, telemetry) : active
      },
      ...(theirs !== undefined && root !== undefined && { root: () => root.call(theirs) }),
    }
  }
}

function noSpan(_name: string, _options?: SpanOptions): Span<Inner> {
  return {
    setSpanOnContext: (context) => context,
    setAttribute() {},
    setAttributes() {},
    addEvent() {},
    recordException() {},
    end() {},
  }
}
