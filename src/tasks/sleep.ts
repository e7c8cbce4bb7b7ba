import { anAmount, anyOf, checkArgument, type Checks, checkOptions } from '../options.ts'
import { after } from './timer.ts'

export interface SleepOptions {
  /** Ends the sleep early. Default: nothing does, not even a cancellation of the caller. */
  signal?: AbortSignal | undefined
}

const checks: Checks = { signal: anyOf('an AbortSignal', (value) => value instanceof AbortSignal) }

/**
 * Resolves after a time, in milliseconds, however long. Values, writes and context are the caller's, as with every
 * promise that is awaited. Rejects with the signal's reason when that aborts, also where it had before.
 *
 * @throws {TypeError} if `ms` is no number of at least 0, or for an option that is unknown or of the wrong type.
 */
export async function sleep(ms: number, options: SleepOptions = {}): Promise<void> {
  checkArgument('sleep', anAmount, ms)
  checkOptions('sleep', options, checks)
  const { signal } = options
  signal?.throwIfAborted()
  const awake = Promise.withResolvers<void>()
  const stop = after(ms, awake.resolve)
  const onAbort = () => awake.reject(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    await awake.promise
  } finally {
    stop()
    signal?.removeEventListener('abort', onAbort)
  }
}
