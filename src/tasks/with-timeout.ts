import type { Cell } from '../context/cell.ts'
import { storage } from '../context/storage.ts'
import { TimeoutError } from '../errors.ts'
import { anAmount, aString, checkArgument, checkFunction, type Checks, checkOptions } from '../options.ts'
import { CancelScope } from './cancel-scope.ts'
import { ownerHere } from './open-scope.ts'
import { after, isExpiry } from './timer.ts'
import { currentCancelScope } from './unit.ts'

/** Options of `withTimeout`. */
export interface WithTimeoutOptions {
  /** For the error. Default: the function's name, or `'withTimeout'`. */
  name?: string
}

const checks: Checks = { name: aString }

/**
 * Awaits `fn` for at most `ms` milliseconds, and not longer than the caller's own deadline.
 *
 * | | |
 * |---|---|
 * | values | the caller's |
 * | writes | seen by the caller |
 * | cancellation | `fn`'s signal, the one of its argument and `currentSignal()`, aborts at the limit, and with what cancels the caller |
 * | failure | `fn`'s own; at the limit a `TimeoutError`; at an earlier deadline the error of that deadline |
 *
 * What `fn` still does after the limit becomes a task of the server's background group: its value is dropped, its failure
 * goes to `onError` unless it only reports the cancellation, and a server's close waits for it.
 *
 * @throws {TimeoutError} at the limit.
 * @throws {TypeError} if `fn` is not a function or `ms` not a number of at least 0, or an option is unknown or of the
 *   wrong type.
 */
export async function withTimeout<T>(
  fn: (scope: CancelScope) => T | PromiseLike<T>,
  ms: number,
  options?: WithTimeoutOptions,
): Promise<T> {
  checkFunction('withTimeout', fn)
  checkArgument('withTimeout', anAmount, ms)
  const { name = fn.name || 'withTimeout' } = checkOptions('withTimeout', options, checks)
  const scope = new CancelScope(currentCancelScope(), { limit: { ms, error: () => new TimeoutError(name, ms) } })
  const result = Promise.withResolvers<T>()
  const cell = storage.getStore()
  const owner = ownerHere()
  let isOver = false
  let { due } = scope
  const onTimer = () => {
    if (due !== scope.due) {
      // The deadline of a unit ends with the unit. What is left is the limit of this call.
      due = scope.due
      stop = after(due?.leftMs ?? 0, onTimer)
      return
    }
    isOver = true
    scope.expire()
    result.reject(scope.reason)
    const adopt = () => owner.adopt(`${name}, after its time`, rest)
    // A timer runs in the context in which it was set, except for one that a test advances.
    storage.run(cell as Cell, adopt)
  }
  // The limit of this call begins now: its clock need not be read a second time.
  let stop = after(due === undefined || due.target === scope ? ms : due.leftMs, onTimer)
  const call = callIn(scope, fn)
  const rest = call.then(result.resolve, (error: unknown) => {
    // A call with the same limit may reach it a little earlier than our timer.
    if (!isOver) result.reject(isTimeout(scope, error) ? scope.reason : error)
    else if (!scope.isCancellation(error)) throw error
  })
  try {
    return await result.promise
  } finally {
    stop()
    scope.end()
  }
}

async function callIn<T>(scope: CancelScope, fn: (scope: CancelScope) => T | PromiseLike<T>): Promise<T> {
  return await scope.run(fn)
}

/** Whether an error says only that the time is over. */
function isTimeout(scope: CancelScope, error: unknown): boolean {
  return scope.isCancellation(error) && isExpiry(scope.reason)
}
