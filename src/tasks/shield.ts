import { show } from '../options.ts'
import { type Canceller, CancelScope } from './cancel-scope.ts'

/**
 * Awaits `fn` as the caller's own code, but out of reach of what cancels the caller: for the write that must not be
 * left half done.
 *
 * | | |
 * |---|---|
 * | values | the caller's |
 * | writes | seen by the caller |
 * | cancellation | the caller's does not reach `fn`, nor what `fn` awaits; nor does its deadline |
 * | failure | `fn`'s own |
 *
 * @throws {TypeError} if `fn` is no function.
 */
export async function shield<T>(fn: (scope: Canceller) => T | PromiseLike<T>): Promise<T> {
  if (typeof fn !== 'function') throw new TypeError(`shield: expected a function, got ${show(fn)}.`)
  const scope = new CancelScope(undefined, { shielded: true })
  return await scope.run(() => fn(scope))
}

/** `shield`, by the name that it has in Go. */
export const withoutCancel: typeof shield = shield
