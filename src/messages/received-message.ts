import { isPromise } from 'node:util/types'
import { anyOf, type Check, checkArgument, checkOptions, type Checks, isFunction, splitOptions } from '../options.ts'
import type { CarrierSource } from '../propagators/carrier.ts'
import type { RequestScope } from '../tasks/request-scope.ts'

/** One message of a batch. */
export interface BatchItem<Message> {
  /** As the engine delivers it. */
  readonly message: Message
  /** Runs `fn` as the attempt of this message, in its own context. The result and the failure are those of `fn`. */
  run<R>(fn: (scope: RequestScope) => R | PromiseLike<R>): Promise<R>
}

/** One attempt of a job: a message as an engine delivers it. */
export interface ReceivedMessage {
  readonly queue: string
  /** The job's name, if it is not the queue's. */
  readonly name?: string | undefined
  readonly id?: string | undefined
  /** Counts up from 1. Default: 1. */
  readonly attempt?: number | undefined
  /**
   * A text that no other message of any system has. A message without a context then has the same request id and trace in
   * each attempt. Default: each attempt has new ones.
   */
  readonly uniqueId?: string | undefined
  /** The fields of `capture()`, as the engine carries them. Undefined for a job without a context of its sender. */
  readonly fields?: CarrierSource | undefined
  /** Aborts the unit's signal, for example if the engine's lock is lost. */
  readonly signal?: AbortSignal | undefined
}

/** How a program can end an attempt. */
export interface ProcessOptions {
  /** Aborts the unit's signal, for example when the engine delivers the message to another worker. Default: none. */
  signal?: AbortSignal
}

const processChecks: Checks = { signal: anyOf('an AbortSignal', (value) => value instanceof AbortSignal) }

/** @throws {TypeError} if an option is unknown or of the wrong type. */
export function signalOf(options: ProcessOptions | undefined): AbortSignal | undefined {
  return checkOptions('process', options, processChecks).signal
}

/**
 * Runs `fn` with the signal of a batch, which aborts when the signals of all its messages have: one of them can be lost, or
 * be settled by its handler, while the others continue.
 */
export async function withSignalOfBatch<R>(
  batch: readonly { readonly received: ReceivedMessage }[],
  fn: (signal: AbortSignal | undefined) => Promise<R>,
): Promise<R> {
  const signals = new Set(batch.map(({ received }) => received.signal))
  const [first, ...others] = signals
  if (others.length === 0 || signals.has(undefined)) return fn(others.length === 0 ? first : undefined)
  const [lost, end] = [new AbortController(), new AbortController()]
  const check = () => {
    if (Array.from(signals).every((signal) => signal?.aborted)) lost.abort(first?.reason)
  }
  for (const signal of signals) signal?.addEventListener('abort', check, { signal: end.signal })
  check()
  return fn(lost.signal).finally(() => end.abort())
}

/** The reason of a unit's signal when the engine delivers the message again while its handler runs. */
export function lostMessage(why: string): DOMException {
  return new DOMException(`The message is no longer this worker's: ${why}. The engine delivers it again.`, 'AbortError')
}

/** @throws {TypeError} if it is not an object with the name of a queue. */
export function receivedOf(message: ReceivedMessage): ReceivedMessage {
  const { others } = splitOptions<object, ReceivedMessage>('process', message, {})
  checkQueue('process', others.queue)
  return others
}

const aQueue = anyOf('the name of a queue, a string', (value) => typeof value === 'string')

/** @throws {TypeError} if it is not the name of a queue. */
export function checkQueue(owner: string, queue: unknown): void {
  checkArgument(owner, aQueue, queue)
}

/** @throws {TypeError} if it is not an array whose items are all accepted. */
export function checkBatch(owner: string, item: Check, batch: unknown): void {
  const isBatch = (value: unknown) => Array.isArray(value) && value.every(item.accepts)
  checkArgument(owner, anyOf(`an array, each item ${item.expected}`, isBatch), batch)
}

/** A check for an object of an engine, by one of its methods. */
export function engineObject(expected: string, method: string): Check {
  return anyOf(expected, (value) => isFunction((value as Record<string, unknown> | null | undefined)?.[method]))
}

/** A check for a message of an engine whose messages are plain data. */
export const aMessage: Check = anyOf(
  'a message, an object',
  (value) => typeof value === 'object' && value !== null && !isPromise(value),
)
