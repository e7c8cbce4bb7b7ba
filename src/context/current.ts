import { checkFunction } from '../options.ts'
import { currentCell, openBlock } from './cell.ts'
import { LogicalContext } from './logical-context.ts'
import { captureSnapshot, root, storage } from './storage.ts'

/** A snapshot of the current values; the empty context outside any unit. Nothing is copied. */
export function current(): LogicalContext {
  const cell = currentCell()
  return cell === undefined ? LogicalContext.empty : new LogicalContext(cell.share())
}

/**
 * Runs `fn` in a block that starts from `context`: what the block writes does not leave it, and two runs of one context
 * start alike. The unit stays that of the caller; outside any unit there is none, so the block cannot spawn.
 */
export function run<Args extends unknown[], R>(context: LogicalContext, fn: (...args: Args) => R, ...args: Args): R {
  return storage.run(openBlock(context.values, currentCell()?.unit), fn, ...args)
}

/**
 * `fn`, made part of the unit that calls `bind`: whoever calls it, it reads and writes what that unit has then. What
 * other libraries keep in an AsyncLocalStorage is bound with it. For a snapshot: `run(context, fn)`.
 *
 * @throws {TypeError} if `fn` is no function.
 */
export function bind<This, Args extends unknown[], R>(
  fn: (this: This, ...args: Args) => R,
): (this: This, ...args: Args) => R {
  checkFunction('bind', fn)
  const entry = captureSnapshot()
  return function bound(this: This, ...args: Args): R {
    return entry.runInAsyncScope(fn, this, ...args)
  }
}

/**
 * Runs `fn` in no context, and in none of other libraries either: for what is made once and used by many units, a pool,
 * a worker, a cache, an interval. Made inside a unit it would run others' work in that unit's context, and keep it.
 *
 * @throws {TypeError} if `fn` is no function.
 */
export function outside<Args extends unknown[], R>(fn: (...args: Args) => R, ...args: Args): R {
  checkFunction('outside', fn)
  return root.runInAsyncScope(fn, undefined, ...args)
}
