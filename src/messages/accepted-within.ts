import { isThenable } from '../callbacks.ts'
import { EnqueueTimeoutError } from '../errors.ts'
import { anAmount, anyOf, checkArgument } from '../options.ts'
import { after } from '../tasks/timer.ts'
import { checkQueue } from './received-message.ts'

const aPromise = anyOf('a promise of the engine', isThenable)

/**
 * Waits for an engine to accept a message, at most for a time.
 *
 * @throws {EnqueueTimeoutError} at the limit, at the engine's, or if the connection ended before the answer.
 * @throws {TypeError} if an argument is of the wrong type.
 */
export async function acceptedWithin<R>(queue: string, timeoutMs: number, accepted: PromiseLike<R>): Promise<R> {
  checkQueue('enqueue', queue)
  checkArgument('enqueue', anAmount, timeoutMs)
  checkArgument('enqueue', aPromise, accepted)
  const limit = Promise.withResolvers<never>()
  const disarm = after(timeoutMs, () => limit.reject(new EnqueueTimeoutError(queue, timeoutMs)))
  try {
    return await Promise.race([accepted, limit.promise])
  } catch (error) {
    if (someError(error, isTimeout)) throw new EnqueueTimeoutError(queue, timeoutMs, error)
    throw someError(error, isLostConnection) ? new EnqueueTimeoutError(queue, undefined, error) : error
  } finally {
    disarm()
  }
}

interface EngineError {
  readonly name?: unknown
  readonly code?: unknown
  readonly message?: unknown
  readonly cause?: unknown
  readonly errors?: unknown
}

/** The engine's own limit leaves it as open as ours. */
function isTimeout({ name }: EngineError): boolean {
  return name === 'TimeoutError' || name === 'KafkaJSRequestTimeoutError'
}

/** What engines throw for a connection that ended after they sent a message, and maybe before they did. */
const lostNames = new Set<unknown>([
  // BullMQ, ioredis
  'ConnectionClosedError',
  'MaxRetriesPerRequestError',
  // kafkajs: an earlier one of several tries may have arrived.
  'KafkaJSConnectionClosedError',
  'KafkaJSNumberOfRetriesExceeded',
])
const lostMessages = new Set<unknown>([
  // amqplib, NATS, ioredis
  'channel closed',
  'connection closed',
  'Connection is closed.',
])
/** PostgreSQL, "PostgreSQL Error Codes", class 08 and 57P0x; Node */
const lostCodes = /^(?:08\w{3}|57P0\d|ECONNRESET|EPIPE)$/

function isLostConnection({ name, code, message }: EngineError): boolean {
  if (lostNames.has(name) || lostMessages.has(message) || lostCodes.test(String(code))) return true
  // pg
  return String(message).startsWith('Connection terminated')
}

/** How many errors are looked at. Causes may be a circle. */
const maxErrors = 32

/** Whether an error is of a kind, or one of its causes or parts. */
function someError(error: unknown, isOfKind: (error: EngineError) => boolean, seen = new Set<unknown>()): boolean {
  if (typeof error !== 'object' || error === null || seen.has(error) || seen.size === maxErrors) return false
  seen.add(error)
  try {
    const { cause, errors } = error as EngineError
    const parts = Array.isArray(errors) ? [cause, ...(errors as unknown[])] : [cause]
    return isOfKind(error) || parts.some((part) => someError(part, isOfKind, seen))
  } catch {
    // A getter of the error failed.
    return false
  }
}
