import { isThenable } from '../callbacks.ts'
import { EnqueueTimeoutError } from '../errors.ts'
import { anAmount, anyOf, checkArgument } from '../options.ts'
import { after } from '../tasks/timer.ts'
import { checkQueue } from './received-message.ts'

const aPromise = anyOf('a promise of the engine', isThenable)

/**
 * Waits for an engine to accept a message, at most for a time.
 *
 * @throws {EnqueueTimeoutError} at the limit, or at the engine's.
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
    // The engine's own limit leaves it as open.
    throw isTimeout(error) ? new EnqueueTimeoutError(queue, timeoutMs, error) : error
  } finally {
    disarm()
  }
}

function isTimeout(error: unknown): boolean {
  try {
    return (error as Error | null)?.name === 'TimeoutError'
  } catch {
    // A getter of the error failed.
    return false
  }
}
