import type { Channel, ConfirmChannel, ConsumeMessage, Options, Replies } from 'amqplib'
import {
  aBoolean,
  anAmount,
  checkArgument,
  checkFunction,
  checkOptions,
  type Checks,
  show,
  splitOptions,
} from '../options.ts'
import { carrierOf, type HeaderObject } from '../propagators/carrier.ts'
import type { DrainOptions } from '../tasks/drain.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { type CloseReport, type MessagePolicy, Messages, type MessagesOptions } from './message.ts'
import { policyChecks, type PolicyOption } from './message-fields.ts'
import { defaultEnqueueTimeoutMs, messagesChecks } from './messages-options.ts'
import { checkQueue, engineObject, lostMessage } from './received-message.ts'
import { closeChecks } from './running-jobs.ts'

export type { CloseReport, MessagePolicy, MessagesOptions, UnfinishedJob } from './message.ts'

/** Options of `amqpContext`. */
export interface AmqpContextOptions extends MessagesOptions {
  /** How long `send` waits for the broker's confirmation, in milliseconds. Default: 10,000. */
  enqueueTimeoutMs?: number
}

/** Runs one message. `scope` is the unit of this attempt. */
export type AmqpHandler = (message: ConsumeMessage, scope: RequestScope) => unknown

type ConsumeOptions = Pick<AmqpConsumeOptions, 'requeue' | 'noAck'>

/** Options of `consume`. */
export interface AmqpConsumeOptions extends Options.Consume {
  /** Whether a message whose handler failed goes back to its queue; else to the dead letter exchange. Default: false. */
  requeue?: boolean
}

/** The context for the channels of amqplib, in the headers of each message. */
export interface AmqpContext {
  /** What was not read and not written, counted; and the group that owns the tasks of jobs. */
  readonly messages: Messages
  /**
   * The options of a message with the context in its headers, for `publish` and `sendToQueue`. A header that is set
   * already stays.
   */
  publishOptions(queue: string, options?: Options.Publish & { policy?: MessagePolicy }): Options.Publish
  /**
   * Sends a message to a queue, and waits for the broker's confirmation at most for a time.
   *
   * @throws {EnqueueTimeoutError} if there was no confirmation in time, or before the channel closed: the message may
   *   have been accepted.
   * @throws {Error} of amqplib, if the channel was closed before or the broker refused the message.
   */
  send(
    channel: ConfirmChannel,
    queue: string,
    content: Buffer,
    options?: Options.Publish & { policy?: MessagePolicy },
  ): Promise<void>
  /**
   * Runs `handler` for each message of a queue, as a unit of its own. A message is acknowledged when its handler has
   * succeeded, and rejected when it has failed. A message whose handler stopped because a close aborted it goes back to
   * its queue. If the channel closes, the unit's signal aborts.
   */
  consume(channel: Channel, queue: string, handler: AmqpHandler, options?: AmqpConsumeOptions): Promise<Replies.Consume>
  /**
   * Cancels the consumers, waits for running messages, aborts their signals at the limit, and reports the rest. The
   * broker delivers it again when its channel is closed.
   */
  close(options?: DrainOptions): Promise<CloseReport>
}

const aConfirmChannel = engineObject('a ConfirmChannel of amqplib, from createConfirmChannel()', 'waitForConfirms')
const aChannel = engineObject('a channel of amqplib', 'consume')
const checks: Checks = { ...messagesChecks, enqueueTimeoutMs: anAmount }
const consumeChecks: Checks = { requeue: aBoolean, noAck: aBoolean }

/**
 * Carries the context through RabbitMQ and other brokers of AMQP 0-9-1, with amqplib.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type.
 */
export function amqpContext(options?: AmqpContextOptions): AmqpContext {
  const { enqueueTimeoutMs = defaultEnqueueTimeoutMs, ...shared } = checkOptions('amqpContext', options, checks)
  const messages = new Messages('amqpContext', shared, 'rabbitmq')
  const consumers: { channel: Channel; tag: string }[] = []

  function publishOptions(queue: string, given?: Options.Publish & PolicyOption): Options.Publish {
    const { own, others: publish } = splitOptions<PolicyOption, Options.Publish>('publishOptions', given, policyChecks)
    const { headers } = { headers: undefined, ...publish }
    const set = { ...(headers as HeaderObject | undefined) }
    // AMQP has `X-Request-Id` and `x-request-id` as two headers, and readers join them.
    const carrier = carrierOf(set)
    const fields = Object.entries(messages.capture(queue, own.policy)).filter(([name]) => !carrier.has(name))
    return { ...publish, headers: { ...Object.fromEntries(fields), ...set } }
  }

  return {
    messages,
    publishOptions,
    async send(channel, queue, content, sendOptions) {
      checkArgument('send', aConfirmChannel, channel)
      const publish = publishOptions(queue, sendOptions)
      const confirmed = new Promise<void>((resolve, reject) => {
        channel.sendToQueue(queue, content, publish, (error: Error | null) => {
          if (error === null) resolve()
          else reject(error)
        })
      })
      return messages.enqueue(queue, enqueueTimeoutMs, confirmed)
    },
    async consume(channel, queue, handler, given) {
      checkArgument('consume', aChannel, channel)
      checkQueue('consume', queue)
      checkFunction('consume', handler)
      const { own, others } = splitOptions<ConsumeOptions, Options.Consume>('consume', given, consumeChecks)
      const { requeue = false, noAck } = own
      const consume = { ...others, ...(noAck !== undefined && { noAck }) }
      const signal = signalOfClose(channel)
      const onMessage = async (message: ConsumeMessage | null) => {
        if (message === null) return
        const { messageId: id, headers = {} } = message.properties
        const received = { queue, id: textOf(id), attempt: attemptOf(queue, message), fields: headers, signal }
        const outcome = await messages.acknowledge(received, (scope) => handler(message, scope))
        if (noAck === true) return
        if (outcome === 'succeeded') channel.ack(message)
        // The broker has put the messages of a closed channel back.
        else if (!signal.aborted) channel.nack(message, false, requeue || outcome === 'abandoned')
      }
      const reply = await channel.consume(
        queue,
        (message) => {
          // A closed channel can acknowledge nothing: the broker delivers the message again.
          onMessage(message).catch((error: unknown) => console.error(`logical-context: amqp: ${show(error)}`))
        },
        consume,
      )
      consumers.push({ channel, tag: reply.consumerTag })
      return reply
    },
    async close(given) {
      const drainOptions = checkOptions('close', given, closeChecks)
      // A channel that is closed throws, and has no consumers.
      const cancelled = Promise.allSettled(consumers.splice(0).map(async ({ channel, tag }) => channel.cancel(tag)))
      return messages.close(drainOptions, cancelled)
    },
  }
}

/**
 * Quorum queues count deliveries; classic ones say only whether there was one before. A message that a dead letter
 * exchange returned to its queue has the number of its rejections there.
 */
function attemptOf(queue: string, { fields, properties }: ConsumeMessage): number {
  const { 'x-delivery-count': count, 'x-death': deaths } = properties.headers ?? {}
  const rejected = Array.isArray(deaths)
    ? deaths.find((death) => death?.queue === queue && death.reason === 'rejected')?.count
    : undefined
  const delivered = typeof count === 'number' ? count : Number(fields.redelivered)
  // A sender can write the header.
  return 1 + delivered + (Number.isSafeInteger(rejected) ? Math.max(0, Number(rejected)) : 0)
}

const closes = new WeakMap<Channel, AbortSignal>()

/** Aborts when a channel closes: the broker then delivers its messages again. One listener for all its consumers. */
function signalOfClose(channel: Channel): AbortSignal {
  const known = closes.get(channel)
  if (known !== undefined) return known
  const controller = new AbortController()
  channel.once('close', () => controller.abort(lostMessage('its channel closed')))
  closes.set(channel, controller.signal)
  return controller.signal
}

function textOf(id: unknown): string | undefined {
  return typeof id === 'string' ? id : undefined
}
