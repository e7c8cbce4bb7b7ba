import type { DrainOptions } from '../tasks/drain.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { checkArgument, checkFunction } from '../options.ts'
import type { CarrierSource } from '../propagators/carrier.ts'
import {
  type BatchItem,
  type CloseReport,
  type MessageFields,
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

/** The headers of a consumed record, as kafkajs, `@platformatic/kafka` and node-rdkafka have them. */
type RecordHeaders =
  | Readonly<Record<string, string | Uint8Array | readonly (string | Uint8Array)[] | undefined>>
  | ReadonlyMap<string | Uint8Array, string | Uint8Array>
  | readonly Readonly<Record<string, string | Uint8Array>>[]

/** A consumed record, as far as the context needs it. */
export interface KafkaRecord {
  readonly headers?: RecordHeaders | undefined
  readonly offset: string | bigint | number
}

/** The context for Kafka, in the headers of each record. It works with kafkajs and with `@platformatic/kafka`. */
export interface KafkaContext {
  /** What was not read and not written, counted; and the group that owns the tasks of jobs. */
  readonly messages: Messages
  /**
   * The headers of a record that is produced here: `{ value, headers: kafka.headers('orders') }`.
   *
   * @throws {TypeError} if the policy is `share`, or names a variable that does not travel.
   */
  headers(topic: string, policy?: MessagePolicy): MessageFields
  /**
   * Runs `handler` for one record, as a unit of its own. The result and the failure are the handler's. Kafka does not
   * count deliveries, so the attempt is always 1.
   */
  process<R>(
    topic: string,
    record: KafkaRecord,
    handler: (scope: RequestScope) => R | PromiseLike<R>,
    options?: ProcessOptions,
  ): Promise<R>
  /**
   * Runs `handler` for the records of a batch, as for `eachBatch`: one unit that links to all senders. `item.run(fn)` runs
   * `fn` in the context of one record.
   */
  processBatch<Item extends KafkaRecord, R>(
    topic: string,
    records: readonly Item[],
    handler: (items: readonly BatchItem<Item>[], scope: RequestScope) => R | PromiseLike<R>,
    options?: ProcessOptions,
  ): Promise<R>
  /**
   * Waits for running records, aborts their signals at the limit, and reports the rest. Stop the consumers first; an
   * offset that is not committed is delivered again.
   */
  close(options?: DrainOptions): Promise<CloseReport>
}

/**
 * Carries the context through Kafka.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type.
 */
export function kafkaContext(options?: MessagesOptions): KafkaContext {
  const messages = new Messages('kafkaContext', options, 'kafka')
  return {
    messages,
    headers: (topic, policy) => messages.capture(topic, policy),
    async process(topic, record, handler, given) {
      checkArgument('process', aMessage, record)
      checkFunction('process', handler)
      return messages.process({ ...receivedOf(topic, record), signal: signalOf(given) }, handler)
    },
    async processBatch(topic, records, handler, given) {
      checkBatch('processBatch', aMessage, records)
      checkFunction('processBatch', handler)
      const signal = signalOf(given)
      const batch = records.map((record) => ({ message: record, received: { ...receivedOf(topic, record), signal } }))
      return messages.processBatch(topic, batch, handler)
    },
    close: (drainOptions) => messages.close(drainOptions),
  }
}

function receivedOf(topic: string, { headers, offset }: KafkaRecord): ReceivedMessage {
  return { queue: topic, id: String(offset), fields: headers as CarrierSource | undefined }
}
