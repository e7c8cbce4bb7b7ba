import { checkFunction } from '../options.ts'
import { CancelScope } from './cancel-scope.ts'
import { currentCancelScope } from './unit.ts'

/**
 * Awaits `fn` as part of the caller's own code, but keeps the caller's cancellation away: for a write that must not stop
 * half way.
 *
 * | | |
 * |---|---|
 * | values | the caller's |
 * | writes | seen by the caller |
 * | cancellation | the caller's abort and deadline do not reach `fn`, nor the calls that `fn` awaits |
 * | failure | `fn`'s own |
 *
 * @throws {TypeError} if `fn` is not a function.
 */
export async function shield<T>(fn: (scope: CancelScope) => T | PromiseLike<T>): Promise<T> {
  checkFunction('shield', fn)
  const scope = new CancelScope(currentCancelScope(), { shielded: true })
  return await scope.run(fn)
}
