import { checkArgument, checkFunction } from '../options.ts'
import type { DrainOptions } from '../tasks/drain.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { envelopeKey, openEnvelope, withEnvelope } from './envelope.ts'
import {
  type BatchItem,
  type CloseReport,
  type MessagePolicy,
  Messages,
  type MessagesOptions,
  type ReceivedMessage,
} from './message.ts'
import { aMessage, checkBatch, type ProcessOptions, signalOf } from './received-message.ts'

export type {
  BatchItem,
  CloseReport,
  MessagePolicy,
  MessagesOptions,
  ProcessOptions,
  UnfinishedJob,
} from './message.ts'

/** The one message attribute that carries the context: SQS allows ten for a message. */
const attributeName = 'logical-context'

/** An attribute of a message, in the form of SQS. */
export interface SqsAttribute {
  DataType: 'String'
  StringValue: string
}

type Attributes<Key extends string> = Readonly<Record<string, { readonly [Name in Key]?: string | undefined }>>

/**
 * A received message, as far as the context needs it: a message of `@aws-sdk/client-sqs`, or a record of an event of AWS
 * Lambda, whose names begin with a small letter.
 */
export interface SqsMessage {
  readonly MessageId?: string | undefined
  readonly MessageAttributes?: Attributes<'StringValue'> | undefined
  /** With `ApproximateReceiveCount`, if the receiver requested it: the number of the attempt. */
  readonly Attributes?: Readonly<Record<string, string | undefined>> | undefined
  readonly messageId?: string
  readonly messageAttributes?: Attributes<'stringValue'>
  readonly attributes?: object
}

/** The context for Amazon SQS, in one message attribute. */
export interface SqsContext {
  /** What was not read and not written, counted; and the group that owns the tasks of jobs. */
  readonly messages: Messages
  /**
   * The attributes of a message that is sent here: `new SendMessageCommand({ MessageAttributes: sqs.attributes(queue) })`.
   *
   * @throws {TypeError} if the policy is `share`, or names a variable that does not travel.
   */
  attributes(queue: string, policy?: MessagePolicy): Record<typeof attributeName, SqsAttribute>
  /** What a receiver requests: `new ReceiveMessageCommand({ …, ...sqs.receive })`. */
  readonly receive: {
    readonly MessageAttributeNames: (typeof attributeName)[]
    readonly MessageSystemAttributeNames: 'ApproximateReceiveCount'[]
  }
  /**
   * Runs `handler` for one message, as a unit of its own. The result and the failure are the handler's: delete the
   * message after it.
   */
  process<R>(
    queue: string,
    message: SqsMessage,
    handler: (scope: RequestScope) => R | PromiseLike<R>,
    options?: ProcessOptions,
  ): Promise<R>
  /**
   * Runs `handler` for the messages of one receive: one unit that links to all senders. `item.run(fn)` runs `fn` in the
   * context of one message.
   */
  processBatch<Item extends SqsMessage, R>(
    queue: string,
    messages: readonly Item[],
    handler: (items: readonly BatchItem<Item>[], scope: RequestScope) => R | PromiseLike<R>,
    options?: ProcessOptions,
  ): Promise<R>
  /**
   * Waits for running messages, aborts their signals at the limit, and reports the rest. SQS delivers it again after the
   * visibility timeout.
   */
  close(options?: DrainOptions): Promise<CloseReport>
}

/**
 * Carries the context through Amazon SQS.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type.
 */
export function sqsContext(options?: MessagesOptions): SqsContext {
  const messages = new Messages('sqsContext', options, 'aws_sqs')

  function receivedOf(queue: string, message: SqsMessage): ReceivedMessage {
    const { fields, refused } = openEnvelope(envelopeOf(message))
    if (refused !== undefined) messages.refuse(queue, refused)
    const { MessageId, messageId: id = MessageId, Attributes, attributes = Attributes } = message
    const { ApproximateReceiveCount: attempt = 1 } = (attributes ?? {}) as Record<string, string | undefined>
    // SQS has a UUID for each message.
    return { queue, id, uniqueId: id, attempt: Number(attempt) || 1, fields }
  }

  return {
    messages,
    receive: {
      MessageAttributeNames: [attributeName],
      MessageSystemAttributeNames: ['ApproximateReceiveCount'],
    },
    attributes(queue, policy) {
      const { [envelopeKey]: envelope } = withEnvelope({}, messages.capture(queue, policy))
      return { [attributeName]: { DataType: 'String', StringValue: JSON.stringify(envelope) } }
    },
    async process(queue, message, handler, given) {
      checkArgument('process', aMessage, message)
      checkFunction('process', handler)
      return messages.process({ ...receivedOf(queue, message), signal: signalOf(given) }, handler)
    },
    async processBatch(queue, received, handler, given) {
      checkBatch('processBatch', aMessage, received)
      checkFunction('processBatch', handler)
      const signal = signalOf(given)
      const batch = received.map((message) => ({ message, received: { ...receivedOf(queue, message), signal } }))
      return messages.processBatch(queue, batch, handler)
    },
    close: (drainOptions) => messages.close(drainOptions),
  }
}

function envelopeOf({ MessageAttributes, messageAttributes }: SqsMessage): object {
  const text = MessageAttributes?.[attributeName]?.StringValue ?? messageAttributes?.[attributeName]?.stringValue
  if (text === undefined) return {}
  try {
    return { [envelopeKey]: JSON.parse(text) as unknown }
  } catch {
    return { [envelopeKey]: text }
  }
}
