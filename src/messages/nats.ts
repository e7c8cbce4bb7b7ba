import type { JetStreamClient, JetStreamPublishOptions, JsMsg, PubAck } from '@nats-io/jetstream'
import type { MsgHdrs, Payload } from '@nats-io/nats-core'
import { loadPackage } from '../errors.ts'
import { anAmount, checkArgument, checkFunction, checkOptions, type Checks, splitOptions } from '../options.ts'
import { carrierOf } from '../propagators/carrier.ts'
import type { DrainOptions } from '../tasks/drain.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
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
import { checkBatch, engineObject, type ProcessOptions, signalOf } from './received-message.ts'

export type {
  BatchItem,
  CloseReport,
  MessagePolicy,
  MessagesOptions,
  ProcessOptions,
  UnfinishedJob,
} from './message.ts'

/** Options of `natsContext`. */
export interface NatsContextOptions extends MessagesOptions {
  /** How long `publish` waits for the server's acknowledgement, in milliseconds. Default: 10,000. */
  enqueueTimeoutMs?: number
}

/** Runs one message. `scope` is the unit of this attempt. */
export type NatsHandler = (message: JsMsg, scope: RequestScope) => unknown

/** The context for JetStream, in the headers of each message. */
export interface NatsContext {
  /** What was not read and not written, counted; and the group that owns the tasks of jobs. */
  readonly messages: Messages
  /**
   * Publishes a message, and waits for the server's acknowledgement at most for a time. It takes the options of
   * `js.publish`, `msgID` and `timeout` included, and a policy. A header that is set already stays, in any case.
   *
   * @throws {EnqueueTimeoutError} if there was no acknowledgement in time, or before the connection ended: the message may
   *   have been accepted.
   */
  publish(
    js: Pick<JetStreamClient, 'publish'>,
    subject: string,
    payload?: Payload,
    options?: Partial<JetStreamPublishOptions> & { policy?: MessagePolicy },
  ): Promise<PubAck>
  /**
   * Runs `handler` for one message, as a unit of its own. The message is acknowledged when the handler has succeeded;
   * else the server delivers it again. Rejects only for an argument of the wrong type.
   */
  process(message: JsMsg, handler: NatsHandler, options?: ProcessOptions): Promise<void>
  /**
   * Runs `handler` for several messages, for example those of one `fetch`: one unit that links to all senders.
   * `item.run(fn)` runs `fn` in the context of one message. All are acknowledged when the handler has succeeded; else the
   * server delivers all of them again, and the failure is the caller's.
   */
  processBatch<R>(
    messages: readonly JsMsg[],
    handler: (items: readonly BatchItem<JsMsg>[], scope: RequestScope) => R | PromiseLike<R>,
    options?: ProcessOptions,
  ): Promise<R>
  /**
   * Waits for running messages, aborts their signals at the limit, and reports the rest, which the server delivers again.
   * Stop the consumers first.
   */
  close(options?: DrainOptions): Promise<CloseReport>
}

const aJetStream = engineObject('a client of JetStream', 'publish')
const aJsMsg = engineObject('a message of JetStream', 'ack')
const checks: Checks = { ...messagesChecks, enqueueTimeoutMs: anAmount }

/**
 * Carries the context through NATS JetStream. It loads `@nats-io/nats-core` for the first message.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type.
 */
export function natsContext(options?: NatsContextOptions): NatsContext {
  const { enqueueTimeoutMs = defaultEnqueueTimeoutMs, ...shared } = checkOptions('natsContext', options, checks)
  const messages = new Messages('natsContext', shared, 'nats')

  return {
    messages,
    async publish(js, subject, payload, given) {
      checkArgument('publish', aJetStream, js)
      const { own, others } = splitOptions<PolicyOption, Partial<JetStreamPublishOptions>>(
        'publish',
        given,
        policyChecks,
      )
      const { timeout = enqueueTimeoutMs, ...publish } = { headers: undefined, timeout: undefined, ...others }
      // Before the first await: the context of the caller.
      const fields = messages.capture(subject, own.policy)
      const headers = await copyOf(publish.headers)
      // NATS sends `X-Request-Id` and `x-request-id` as two headers, and readers join them.
      const carrier = carrierOf(headers)
      for (const [name, value] of Object.entries(fields)) if (!carrier.has(name)) headers.set(name, value)
      return messages.enqueue(subject, timeout, js.publish(subject, payload, { ...publish, headers, timeout }))
    },
    async process(message, handler, given) {
      checkArgument('process', aJsMsg, message)
      checkFunction('process', handler)
      const signal = signalOf(given)
      const outcome = await messages.acknowledge({ ...receivedOf(message), signal }, (scope) => handler(message, scope))
      if (outcome === 'succeeded') message.ack()
      // The server has delivered a message that was lost to another worker.
      else if (!signal?.aborted) message.nak()
    },
    async processBatch(batch, handler, given) {
      checkBatch('processBatch', aJsMsg, batch)
      checkFunction('processBatch', handler)
      const signal = signalOf(given)
      const items = batch.map((message) => ({ message, received: { ...receivedOf(message), signal } }))
      try {
        const result = await messages.processBatch(batch[0]?.subject ?? 'batch', items, handler)
        for (const message of batch) message.ack()
        return result
      } catch (error) {
        if (!signal?.aborted) for (const message of batch) message.nak()
        throw error
      }
    },
    close: (drainOptions) => messages.close(drainOptions),
  }
}

function receivedOf({ subject: queue, headers, info }: JsMsg): ReceivedMessage {
  const id = `${info.stream}:${info.streamSequence}`
  // Another server can have a stream of the same name, but not a message of the same nanosecond.
  const uniqueId = `${id}:${info.timestampNanos}`
  return { queue, id, uniqueId, attempt: info.deliveryCount, fields: headers && Object.fromEntries(headers) }
}

/** The program can send the same headers again, in another request. */
async function copyOf(given: MsgHdrs | undefined): Promise<MsgHdrs> {
  const { headers } = await loadPackage('natsContext', '@nats-io/nats-core', () => import('@nats-io/nats-core'))
  const copy = headers()
  for (const [name, values] of given ?? []) for (const value of values) copy.append(name, value)
  return copy
}
