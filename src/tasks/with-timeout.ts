import type { Cell } from '../context/cell.ts'
import { storage } from '../context/storage.ts'
import { TimeoutError } from '../errors.ts'
import { anAmount, aString, checkArgument, checkFunction, type Checks, checkOptions } from '../options.ts'
import { type Canceller, CancelScope, currentCancelScope } from './cancel-scope.ts'
import { ownerHere } from './run-in-scope.ts'
import { after } from './timer.ts'

export interface WithTimeoutOptions {
  /** For the error. Default: the function's name, or `'withTimeout'`. */
  name?: string
}

const checks: Checks = { name: aString }

/**
 * Awaits `fn`, but not for longer than `ms` milliseconds, nor beyond a deadline that the caller has already.
 *
 * | | |
 * |---|---|
 * | values | the caller's |
 * | writes | seen by the caller |
 * | cancellation | `fn`'s signal, its argument's and `currentSignal()`, aborts at the limit, and with what cancels the caller |
 * | failure | `fn`'s own; at the limit a `TimeoutError`, at the deadline the error of whoever has set it |
 *
 * What `fn` still does after the limit becomes a task of the server's background group: its value is dropped, its
 * failure goes to `onError` unless it only says "aborted", and server close waits for it.
 *
 * @throws {TimeoutError} at the limit.
 * @throws {TypeError} if `fn` is no function, `ms` no number of at least 0, or for an option that is unknown or of the wrong type.
 */
export async function withTimeout<T>(
  fn: (scope: Canceller) => T | PromiseLike<T>,
  ms: number,
  options: WithTimeoutOptions = {},
): Promise<T> {
  checkFunction('withTimeout', fn)
  checkArgument('withTimeout', anAmount, ms)
  checkOptions('withTimeout', options, checks)
  const { name = fn.name || 'withTimeout' } = options
  const now = Date.now()
  const limit = { deadline: now + ms, error: () => new TimeoutError(name, ms) }
  const scope = new CancelScope(currentCancelScope(), { limit })
  const result = Promise.withResolvers<T>()
  const cell = storage.getStore()
  const owner = ownerHere()
  let over = false
  const stop = after(Math.min(ms, (scope.deadline ?? Infinity) - now), () => {
    over = true
    scope.expire()
    result.reject(scope.reason)
    const adopt = () => owner.adopt(`${name}, after its time`, rest)
    // A timer runs in the context where it was set, but one that a test advances does not.
    storage.run(cell as Cell, adopt)
  })
  const call = (async () => await scope.run(() => fn(scope)))()
  const rest = call.then(result.resolve, (error: unknown) => {
    // What `fn` waits for may know of the limit, and be a little faster.
    if (!over) result.reject(scope.isTimeout(error) ? scope.reason : error)
    else if (!scope.isCancellation(error)) throw error
  })
  try {
    return await result.promise
  } finally {
    stop()
    scope.end()
  }
}
