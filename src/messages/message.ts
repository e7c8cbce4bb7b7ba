import { callContained } from '../callbacks.ts'
import { currentCell } from '../context/cell.ts'
import type { AnyContextVar } from '../context/context-var.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { root } from '../context/storage.ts'
import { emptyValues, type Values } from '../context/values.ts'
import { EnqueueTimeoutError } from '../errors.ts'
import { checkOptions, show, splitOptions } from '../options.ts'
import { type CarrierSource, carrierOf } from '../propagators/carrier.ts'
import { compilePropagators } from '../propagators/composite.ts'
import type { Destination, Peer, Propagator, RefusalReason, Refuse } from '../propagators/propagator.ts'
import { w3cBaggage } from '../propagators/w3c-baggage.ts'
import { w3cTraceContext } from '../propagators/w3c-trace-context.ts'
import { xRequestId } from '../propagators/x-request-id.ts'
import type { DrainOptions } from '../tasks/drain.ts'
import { type LateUseCounters, LateUseWatch } from '../tasks/late-use.ts'
import { cross } from '../tasks/policy.ts'
import { RequestScope } from '../tasks/request-scope.ts'
import { TaskGroup } from '../tasks/task-group.ts'
import { limitChecks } from '../tasks/task-limits.ts'
import { after } from '../tasks/timer.ts'
import { currentUnit, type UnitSettings } from '../tasks/unit.ts'
import { message as messageVariable, type MessageInfo } from '../variables/message.ts'
import { requestId } from '../variables/request-id.ts'
import { traceContext, traceOf } from '../variables/trace-context.ts'
import { envelopeKey } from './envelope.ts'
import {
  checkedPolicy,
  identified,
  LimitedCarrier,
  linked,
  type MessageFields,
  type MessagePolicy,
  metaField,
  metaFrom,
  metaOf,
} from './message-fields.ts'
import { messagesChecks, type MessageRefusal, type MessagesOptions } from './messages-options.ts'
import { closeChecks, type CloseReport, printFailedJob, RunningJobs } from './running-jobs.ts'

export { type Enveloped, openEnvelope, type Opened, withEnvelope } from './envelope.ts'
export type { MessageFields, MessagePolicy } from './message-fields.ts'
export type { MessageRefusal, MessagesOptions } from './messages-options.ts'
export type { CloseReport, UnfinishedJob } from './running-jobs.ts'

/** One attempt of a job: a message as an engine delivers it. */
export interface ReceivedMessage {
  readonly queue: string
  /** The job's name, if it is not the queue's. */
  readonly name?: string | undefined
  readonly id?: string | undefined
  /** Counts up from 1. Default: 1. */
  readonly attempt?: number | undefined
  /** The fields of `capture()`, as the engine carries them. Undefined for a job without a context of its sender. */
  readonly fields?: CarrierSource | undefined
  /** Aborts the unit's signal, for example if the engine's lock is lost. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Both ends of a queue, the same for every engine. The sender calls `capture` where it enqueues; the worker calls
 * `process` for each attempt.
 *
 * A job reads what a task of the same policy would read, restricted to the variables that the propagators carry. Each
 * attempt is a unit with the same values and the same trace, in a span of its own.
 */
export class Messages {
  /** Owns the tasks that jobs spawn. */
  readonly group: TaskGroup
  /** Reads and writes after the end of a job, counted. */
  readonly lateUse: LateUseCounters
  /** What was not read and not written, counted. */
  readonly counters: Record<RefusalReason, number> = { refused: 0, malformed: 0, duplicate: 0, truncated: 0 }
  readonly #owner: string
  readonly #propagator: Propagator
  readonly #declared: ReadonlySet<AnyContextVar>
  readonly #policy: MessagePolicy | undefined
  readonly #trusted: boolean
  readonly #onFailure: (error: unknown, job: MessageInfo) => void
  readonly #onRefusal: ((refusal: MessageRefusal) => void) | undefined
  readonly #settings: UnitSettings
  readonly #running = new RunningJobs()

  /**
   * @param owner The function that the user called, for error messages.
   * @throws {TypeError} if an option is unknown or of the wrong type.
   */
  constructor(owner: string, options?: MessagesOptions) {
    const {
      propagators = [w3cTraceContext(), w3cBaggage(), xRequestId()],
      policy,
      trust = true,
      limits,
      onError,
      onFailure = printFailedJob,
      onRefusal,
      lateWrites,
      onLateUse,
    } = checkOptions(owner, options, messagesChecks)
    this.#owner = owner
    this.#propagator = compilePropagators(`${owner}: option 'propagators'`, propagators)
    this.#declared = new Set([requestId, traceContext, ...(this.#propagator.variables ?? [])])
    this.#policy = policy === undefined ? undefined : checkedPolicy(owner, policy, this.#declared)
    this.#trusted = trust
    this.#onFailure = onFailure
    this.#onRefusal = onRefusal
    this.group = new TaskGroup({
      ...checkOptions(`${owner}: option 'limits'`, limits, limitChecks),
      name: owner,
      onError,
    })
    const lateUse = new LateUseWatch({ lateWrites, onLateUse })
    this.lateUse = lateUse
    this.#settings = { group: this.group, policy: undefined, lateUse }
  }

  /**
   * The fields of a message that is enqueued here, at most 8192 bytes. Outside any unit: a new request id and trace.
   *
   * @throws {TypeError} if the policy is `share`, or names a variable that no propagator carries.
   */
  capture(queue: string, policy?: MessagePolicy): MessageFields {
    const byDefault = this.#policy ?? currentUnit()?.settings.policy ?? 'inherit'
    const chosen = checkedPolicy(this.#owner, policy === undefined ? byDefault : policy, this.#declared)
    const context = identified(captured(currentCell()?.share() ?? emptyValues, chosen))
    const fields: MessageFields = {}
    const refuse = this.#refuseFor(queue)
    const carrier = new LimitedCarrier(fields, refuse)
    carrier.set(metaField, metaOf(chosen, context.get(traceContext)))
    const destination: Destination = { trace: true, values: true, refuse }
    this.#propagator.inject(context, carrier, destination)
    return fields
  }

  /**
   * Runs `handler` as the unit of one attempt, outside the context of the caller. The result and the failure are the
   * handler's: the engine decides about a retry.
   */
  async process<R>(message: ReceivedMessage, handler: (scope: RequestScope) => R | PromiseLike<R>): Promise<R> {
    const received = receivedOf(message)
    const context = this.#extract(received)
    const info = context.get(messageVariable) as MessageInfo
    // A worker's handlers run in the context of the code that created the worker, with most engines.
    const scope = root.runInAsyncScope(() => this.#open(context, info, received.signal))
    const remove = this.#running.add(scope, info)
    try {
      return await root.runInAsyncScope(() => scope.run(handler, scope))
    } finally {
      scope.close()
      remove()
    }
  }

  /**
   * Runs an attempt for an engine that waits for an acknowledgement. Resolves with whether the handler succeeded; its
   * failure goes to `onFailure`. Never rejects.
   */
  async acknowledge(
    message: ReceivedMessage,
    handler: (scope: RequestScope) => unknown,
  ): Promise<'succeeded' | 'failed'> {
    const received = receivedOf(message)
    try {
      await this.process(received, async (scope) => {
        try {
          await handler(scope)
        } catch (error) {
          contain('onFailure', () => this.#onFailure(error, scope.context.get(messageVariable) as MessageInfo))
          throw error
        }
      })
      return 'succeeded'
    } catch {
      return 'failed'
    }
  }

  /**
   * Waits for an engine to accept a message, at most for a time.
   *
   * @throws {EnqueueTimeoutError} at the limit, or at the engine's. The engine may have accepted the message, or may accept it later.
   */
  async enqueue<R>(queue: string, timeoutMs: number, accepted: Promise<R>): Promise<R> {
    const limit = Promise.withResolvers<never>()
    const disarm = after(timeoutMs, () => limit.reject(new EnqueueTimeoutError(queue, timeoutMs)))
    try {
      return await Promise.race([accepted, limit.promise])
    } catch (error) {
      // The engine's own limit leaves it as open.
      throw isTimeout(error) ? new EnqueueTimeoutError(queue, timeoutMs, error) : error
    } finally {
      disarm()
    }
  }

  /** Counts a context that an adapter could not read, for example because of its envelope. */
  refuse(queue: string, reason: RefusalReason): void {
    this.#refuseFor(queue)(reason, envelopeKey)
  }

  /**
   * Waits for running jobs and for the tasks that jobs have spawned. At the limit it aborts their signals, and it
   * reports what has not ended. Stop the engine's fetching first.
   *
   * @throws {TypeError} if an option is unknown or of the wrong type.
   */
  close(options?: DrainOptions): Promise<CloseReport> {
    return this.#running.close(this.group, checkOptions(`${this.#owner}: close`, options, closeChecks))
  }

  #open(context: LogicalContext, { queue, name }: MessageInfo, signal: AbortSignal | undefined): RequestScope {
    const scope = new RequestScope(name === queue ? queue : `${queue} ${name}`, context, this.#settings)
    if (signal !== undefined) scope.cancelScope.cancelWith(signal)
    return scope
  }

  /** The context of an attempt: that of its sender, as far as it is used, and the message. */
  #extract({ queue, name = queue, id, attempt = 1, fields = {} }: ReceivedMessage): LogicalContext {
    const refuse = this.#refuseFor(queue)
    const peer: Peer = { trace: this.#trusted ? 'continue' : 'restart', values: this.#trusted, refuse }
    const carrier = carrierOf(fields)
    const { policy, link } = metaFrom(this.#trusted ? carrier.get(metaField) : undefined)
    const context = identified(this.#propagator.extract(LogicalContext.empty, carrier, peer))
    const placed = link === undefined ? context : context.with(traceContext, linked(context.get(traceContext), link))
    return placed.with(messageVariable, { queue, name, id, attempt, policy })
  }

  #refuseFor(queue: string): Refuse {
    return (reason, field) => {
      this.counters[reason]++
      if (this.#onRefusal !== undefined) callContained('onRefusal', this.#onRefusal, { reason, field, queue })
    }
  }
}

function receivedOf(message: ReceivedMessage): ReceivedMessage {
  return splitOptions<object, ReceivedMessage>('process', message, {}).others
}

/** What crosses. The attempts of a job that is not isolated are children of the sender's span. */
function captured(values: Values, policy: MessagePolicy): LogicalContext {
  const context = new LogicalContext(cross(values, policy))
  const trace = traceOf(new LogicalContext(values))
  return policy === 'isolate' || trace === undefined ? context : context.with(traceContext, trace)
}

function isTimeout(error: unknown): boolean {
  try {
    return (error as Error | null)?.name === 'TimeoutError'
  } catch {
    // A getter of the error failed.
    return false
  }
}

/** A function of the program that throws or rejects ends no job: it is printed. */
function contain(option: string, call: () => unknown): void {
  const print = (error: unknown) => console.error(`logical-context: ${option} failed: ${show(error)}`)
  try {
    Promise.resolve(call()).catch(print)
  } catch (error) {
    print(error)
  }
}
