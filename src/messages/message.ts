import { callContained } from '../callbacks.ts'
import { bridge, isTracing } from '../context/bridge.ts'
import { currentCell } from '../context/cell.ts'
import type { AnyContextVar } from '../context/context-var.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { root } from '../context/storage.ts'
import { emptyValues } from '../context/values.ts'
import { aString, checkArgument, checkFunction, checkOptions } from '../options.ts'
import { compilePropagators } from '../propagators/composite.ts'
import type { Destination, Propagator, RefusalReason, Refuse } from '../propagators/propagator.ts'
import { w3cBaggage } from '../propagators/w3c-baggage.ts'
import { w3cTraceContext } from '../propagators/w3c-trace-context.ts'
import { xRequestId } from '../propagators/x-request-id.ts'
import type { DrainOptions } from '../tasks/drain.ts'
import { type LateUseCounters, LateUseWatch } from '../tasks/late-use.ts'
import { messageRefuse, messageSend, type MessageSendEvent } from '../tasks/lifecycle.ts'
import { policyName } from '../tasks/policy.ts'
import { RequestScope } from '../tasks/request-scope.ts'
import { TaskGroup } from '../tasks/task-group.ts'
import { limitChecks } from '../tasks/task-limits.ts'
import { isExpiry } from '../tasks/timer.ts'
import { currentUnit, type UnitSettings } from '../tasks/unit.ts'
import { message as messageVariable, type MessageInfo } from '../variables/message.ts'
import { requestId } from '../variables/request-id.ts'
import { type TraceContext, traceContext } from '../variables/trace-context.ts'
import { acceptedWithin } from './accepted-within.ts'
import { envelopeKey } from './envelope.ts'
import { type Extracted, extractMessage } from './extract-message.ts'
import {
  captured,
  checkedPolicy,
  identified,
  LimitedCarrier,
  type MessageFields,
  type MessagePolicy,
  metaField,
  metaOf,
  newSpanOf,
  senderOf,
  spanAttributes,
} from './message-fields.ts'
import { messagesChecks, type MessageRefusal, type MessagesOptions } from './messages-options.ts'
import {
  aMessage,
  type BatchItem,
  checkBatch,
  checkQueue,
  type ReceivedMessage,
  receivedOf,
  withSignalOfBatch,
} from './received-message.ts'
import { closeChecks, type CloseReport, isAbandoned, printFailedJob, RunningJobs } from './running-jobs.ts'

export { type Enveloped, openEnvelope, type Opened, withEnvelope } from './envelope.ts'
export type { MessageFields, MessagePolicy } from './message-fields.ts'
export type { MessageRefusal, MessagesOptions } from './messages-options.ts'
export type { BatchItem, ProcessOptions, ReceivedMessage } from './received-message.ts'
export type { CloseReport, UnfinishedJob } from './running-jobs.ts'

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
  /** @internal What travels. `fields` also has the field of the policy. */
  readonly propagator: Propagator
  readonly #owner: string
  readonly #system: string | undefined
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
   * @param system The name of the engine on spans, OpenTelemetry's `messaging.system`.
   * @throws {TypeError} if an option is unknown or of the wrong type.
   */
  constructor(owner: string, options?: MessagesOptions, system?: string) {
    checkArgument('Messages: the name', aString, owner)
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
    this.#system = system
    this.#propagator = compilePropagators(`${owner}: option 'propagators'`, propagators)
    this.propagator = { ...this.#propagator, fields: [...this.#propagator.fields, metaField] }
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
   * While a tracer suppresses tracing: neither.
   *
   * @throws {TypeError} if the queue is not a string, or the policy is `share` or names a variable that does not travel.
   */
  capture(queue: string, policy?: MessagePolicy): MessageFields {
    checkQueue(this.#owner, queue)
    const byDefault = this.#policy ?? currentUnit()?.settings.policy ?? 'inherit'
    const chosen = checkedPolicy(this.#owner, policy === undefined ? byDefault : policy, this.#declared)
    const isTraced = isTracing()
    const context = this.#sent(queue, chosen, captured(currentCell()?.share() ?? emptyValues, chosen), isTraced)
    const fields: MessageFields = {}
    const refuse = this.#refuseFor(queue)
    const carrier = new LimitedCarrier(fields, refuse)
    carrier.set(metaField, metaOf(chosen, isTraced ? context.get(traceContext) : undefined))
    const destination: Destination = { trace: isTraced, values: true, refuse }
    this.#propagator.inject(context, carrier, destination)
    return fields
  }

  /**
   * Runs `handler` as the unit of one attempt, outside the context of the caller. The result and the failure are the
   * handler's: the engine decides about a retry.
   *
   * @throws {TypeError} if an argument is of the wrong type.
   */
  async process<R>(message: ReceivedMessage, handler: (scope: RequestScope) => R | PromiseLike<R>): Promise<R> {
    const received = receivedOf(message)
    checkFunction('process', handler)
    return this.#attempt(this.#extract(received), received.signal, handler)
  }

  /**
   * Runs `handler` once for several messages, as one unit without their values, in a new trace that links to the spans of
   * all senders. `item.run(fn)` runs `fn` as the attempt of that message, in its own context.
   */
  async processBatch<Message, R>(
    queue: string,
    batch: readonly { readonly message: Message; readonly received: ReceivedMessage }[],
    handler: (items: readonly BatchItem<Message>[], scope: RequestScope) => R | PromiseLike<R>,
  ): Promise<R> {
    checkQueue('processBatch', queue)
    checkBatch('processBatch', aMessage, batch)
    checkFunction('processBatch', handler)
    const attempts = batch.map(({ message, received: given }) => {
      const received = receivedOf(given)
      return { message, received, found: this.#extract(received) }
    })
    const links = attempts.flatMap(({ found }) => senderOf(found.context.get(traceContext)))
    const job: MessageInfo = { queue, name: queue, id: undefined, attempt: 1, policy: undefined, links }
    const items = attempts.map(({ message, received, found }) => ({
      message,
      run: async <Own>(fn: (scope: RequestScope) => Own | PromiseLike<Own>) => {
        const context = found.context.with(traceContext, newSpanOf(found.context.get(traceContext)))
        return this.#attempt({ ...found, context }, received.signal, fn)
      },
    }))
    const context = identified(LogicalContext.empty).with(messageVariable, job)
    return withSignalOfBatch(attempts, (signal) =>
      this.#attempt({ context, at: undefined }, signal, (scope) => handler(items, scope)),
    )
  }

  /**
   * Runs an attempt for an engine that waits for an acknowledgement. Resolves with `succeeded`, with `failed`, or with
   * `abandoned` if the handler stopped because a close aborted it: the engine must deliver the message again. A failure
   * goes to `onFailure`, unless the attempt stopped because it was cancelled. Rejects only for an argument of the wrong
   * type.
   */
  async acknowledge(
    message: ReceivedMessage,
    handler: (scope: RequestScope) => unknown,
  ): Promise<'succeeded' | 'failed' | 'abandoned'> {
    const received = receivedOf(message)
    checkFunction('acknowledge', handler)
    let outcome: 'failed' | 'abandoned' = 'failed'
    try {
      await this.process(received, async (scope) => {
        try {
          await handler(scope)
        } catch (error) {
          if (isAbandoned(scope, error)) outcome = 'abandoned'
          if (isExpiry(scope.abortReason) || !scope.isCancellation(error)) {
            callContained('onFailure', this.#onFailure, error, scope.context.get(messageVariable) as MessageInfo)
          }
          throw error
        }
      })
      return 'succeeded'
    } catch {
      return outcome
    }
  }

  /**
   * Waits for an engine to accept a message, at most for a time.
   *
   * @throws {EnqueueTimeoutError} at the limit, at the engine's, or if the connection ended: the message may be accepted.
   */
  async enqueue<R>(queue: string, timeoutMs: number, accepted: PromiseLike<R>): Promise<R> {
    return acceptedWithin(queue, timeoutMs, accepted)
  }

  /** Counts a context that an adapter could not read, for example because of its envelope. */
  refuse(queue: string, reason: RefusalReason): void {
    this.#refuseFor(queue)(reason, envelopeKey)
  }

  /**
   * Waits for running jobs and for the tasks that jobs have spawned. At the limit it aborts their signals, and it
   * reports what has not ended. A job that calls it is not waited for. Stop the engine's fetching first.
   *
   * @param stopped Resolves when the engine fetches no more. It is awaited first, within the same limit; its failure is
   *   thrown at the end. Default: at once.
   * @throws {TypeError} if an option is unknown or of the wrong type.
   */
  close(options?: DrainOptions, stopped: PromiseLike<unknown> = Promise.resolve()): Promise<CloseReport> {
    return this.#running.close(this.group, checkOptions(`${this.#owner}: close`, options, closeChecks), stopped)
  }

  /** @internal How many attempts run. */
  get running(): number {
    return this.#running.size
  }

  #attempt<R>(
    { context, at }: Extracted,
    signal: AbortSignal | undefined,
    handler: (scope: RequestScope) => R | PromiseLike<R>,
  ): Promise<R> {
    const job = context.get(messageVariable) as MessageInfo
    // A worker's handlers run in the context of the code that created the worker, with most engines.
    const scope = root.runInAsyncScope(() => this.#open(context, job, signal))
    const waitMs = at === undefined ? undefined : Math.max(0, Date.now() - at)
    return this.#running.run({ scope, job, waitMs }, handler)
  }

  #open(context: LogicalContext, job: MessageInfo, signal: AbortSignal | undefined): RequestScope {
    const { queue, name } = job
    const scope = new RequestScope(name === queue ? queue : `${queue} ${name}`, context, this.#settings)
    if (signal !== undefined) scope.cancelScope.cancelWith(signal)
    scope.observation?.setAttributes?.({
      ...spanAttributes('process', queue, this.#system),
      'logical_context.message.policy': job.policy,
    })
    return scope
  }

  /** Publishes the message, and puts its attempts below the span of a tracer, if there is one. */
  #sent(queue: string, policy: MessagePolicy, context: LogicalContext, isTraced: boolean): LogicalContext {
    const name = policyName(policy)
    if (messageSend.hasSubscribers) messageSend.publish({ queue, policy: name as MessageSendEvent['policy'] })
    if (!isTraced || bridge.current?.sent === undefined) return context
    const attributes = { ...spanAttributes('create', queue, this.#system), 'logical_context.message.policy': name }
    const trace = bridge.current.sent(attributes, policy === 'isolate', context.get(traceContext))
    return trace === undefined ? context : context.with(traceContext, trace as TraceContext)
  }

  #extract(received: ReceivedMessage): Extracted {
    return extractMessage(received, this.#propagator, this.#trusted, this.#refuseFor(received.queue))
  }

  #refuseFor(queue: string): Refuse {
    return (reason, field) => {
      this.counters[reason]++
      if (messageRefuse.hasSubscribers) messageRefuse.publish({ reason, field, queue })
      if (this.#onRefusal !== undefined) callContained('onRefusal', this.#onRefusal, { reason, field, queue })
    }
  }
}
