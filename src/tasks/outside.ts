import { root } from '../context/storage.ts'
import { show } from '../options.ts'

/**
 * Runs `fn` in no context, and in none of other libraries either: for what is made once and used by many units, a pool,
 * a worker, a cache, an interval. Made inside a unit it would run others' work in that unit's context, and keep it.
 *
 * @throws {TypeError} if `fn` is no function.
 */
export function outside<Args extends unknown[], R>(fn: (...args: Args) => R, ...args: Args): R {
  if (typeof fn !== 'function') throw new TypeError(`outside: expected a function, got ${show(fn)}.`)
  return root.runInAsyncScope(fn, undefined, ...args)
}
