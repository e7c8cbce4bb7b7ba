import { callContained } from '../callbacks.ts'
import { bridge, isTracing } from '../context/bridge.ts'
import { currentCell } from '../context/cell.ts'
import type { AnyContextVar } from '../context/context-var.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { root } from '../context/storage.ts'
import { emptyValues } from '../context/values.ts'
import { aString, checkArgument, checkFunction, checkOptions } from '../options.ts'
import { carrierOf } from '../propagators/carrier.ts'
import { compilePropagators } from '../propagators/composite.ts'
import type { Destination, Peer, Propagator, RefusalReason, Refuse } from '../propagators/propagator.ts'
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
import { currentUnit, type UnitSettings } from '../tasks/unit.ts'
import { message as messageVariable, type MessageInfo } from '../variables/message.ts'
import { requestId } from '../variables/request-id.ts'
import { type TraceContext, traceContext } from '../variables/trace-context.ts'
import { acceptedWithin } from './accepted-within.ts'
import { envelopeKey } from './envelope.ts'
import {
  captured,
  checkedPolicy,
  identified,
  LimitedCarrier,
  linked,
  type MessageFields,
  type MessagePolicy,
  metaField,
  metaFrom,
  metaOf,
  senderOf,
  spanAttributes,
} from './message-fields.ts'
import { messagesChecks, type MessageRefusal, type MessagesOptions } from './messages-options.ts'
import { observedAttempt } from './observed-attempt.ts'
import {
  aMessage,
  type BatchItem,
  checkBatch,
  checkQueue,
  type ReceivedMessage,
  receivedOf,
} from './received-message.ts'
import { closeChecks, type CloseReport, printFailedJob, RunningJobs } from './running-jobs.ts'

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
    const attempts = batch.map(({ message, received }) => ({
      message,
      received,
      found: this.#extract(receivedOf(received)),
    }))
    const links = attempts.flatMap(({ found }) => senderOf(found.context.get(traceContext)))
    const job: MessageInfo = { queue, name: queue, id: undefined, attempt: 1, policy: undefined, links }
    const items = attempts.map(({ message, received, found }) => ({
      message,
      run: <Own>(fn: (scope: RequestScope) => Own | PromiseLike<Own>) => this.#attempt(found, received.signal, fn),
    }))
    const context = identified(LogicalContext.empty).with(messageVariable, job)
    const signal = batch[0]?.received.signal
    return this.#attempt({ context, at: undefined }, signal, (scope) => handler(items, scope))
  }

  /**
   * Runs an attempt for an engine that waits for an acknowledgement. Resolves with whether the handler succeeded; its
   * failure goes to `onFailure`. Rejects only for an argument of the wrong type.
   */
  async acknowledge(
    message: ReceivedMessage,
    handler: (scope: RequestScope) => unknown,
  ): Promise<'succeeded' | 'failed'> {
    const received = receivedOf(message)
    checkFunction('acknowledge', handler)
    try {
      await this.process(received, async (scope) => {
        try {
          await handler(scope)
        } catch (error) {
          callContained('onFailure', this.#onFailure, error, scope.context.get(messageVariable) as MessageInfo)
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
   * @throws {EnqueueTimeoutError} at the limit, or at the engine's: the engine may have accepted it, or may accept it later.
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
   * reports what has not ended. Stop the engine's fetching first.
   *
   * @throws {TypeError} if an option is unknown or of the wrong type.
   */
  close(options?: DrainOptions): Promise<CloseReport> {
    return this.#running.close(this.group, checkOptions(`${this.#owner}: close`, options, closeChecks))
  }

  async #attempt<R>(
    { context, at }: Extracted,
    signal: AbortSignal | undefined,
    handler: (scope: RequestScope) => R | PromiseLike<R>,
  ): Promise<R> {
    const job = context.get(messageVariable) as MessageInfo
    // A worker's handlers run in the context of the code that created the worker, with most engines.
    const scope = root.runInAsyncScope(() => this.#open(context, job, signal))
    const remove = this.#running.add(scope, job)
    const waitMs = at === undefined ? undefined : Math.max(0, Date.now() - at)
    try {
      return await root.runInAsyncScope(() => scope.run(observedAttempt<R>, { scope, job, waitMs }, handler))
    } finally {
      scope.close()
      remove()
    }
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
    if (!isTraced) return context
    const attributes = { ...spanAttributes('create', queue, this.#system), 'logical_context.message.policy': name }
    const trace = bridge.current?.sent?.(attributes, policy === 'isolate', context.get(traceContext))
    return trace === undefined ? context : context.with(traceContext, trace as TraceContext)
  }

  /** The context of an attempt: that of its sender, as far as it is used, and the message; and when it was enqueued. */
  #extract({ queue, name = queue, id, attempt = 1, fields = {} }: ReceivedMessage): Extracted {
    const refuse = this.#refuseFor(queue)
    const peer: Peer = { trace: this.#trusted ? 'continue' : 'restart', values: this.#trusted, refuse }
    const carrier = carrierOf(fields)
    const { policy, link, at } = metaFrom(this.#trusted ? carrier.get(metaField) : undefined)
    const context = identified(this.#propagator.extract(LogicalContext.empty, carrier, peer))
    const placed = link === undefined ? context : context.with(traceContext, linked(context.get(traceContext), link))
    return { context: placed.with(messageVariable, { queue, name, id, attempt, policy }), at }
  }

  #refuseFor(queue: string): Refuse {
    return (reason, field) => {
      this.counters[reason]++
      if (messageRefuse.hasSubscribers) messageRefuse.publish({ reason, field, queue })
      if (this.#onRefusal !== undefined) callContained('onRefusal', this.#onRefusal, { reason, field, queue })
    }
  }
}

/** The context of an attempt, and when its message was enqueued. */
interface Extracted {
  readonly context: LogicalContext
  readonly at: number | undefined
}
