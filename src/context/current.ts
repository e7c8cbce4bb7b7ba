import { anyOf, checkArgument, checkFunction } from '../options.ts'
import { openBlock, runBlock, start, type Started } from './block.ts'
import { currentCell } from './cell.ts'
import { LogicalContext } from './logical-context.ts'
import { root } from './storage.ts'

const aContext = anyOf('a LogicalContext', (value) => value instanceof LogicalContext)

/** Returns a snapshot of the current values; outside any unit the empty context. Copies nothing. */
export function current(): LogicalContext {
  const cell = currentCell()
  return cell === undefined ? LogicalContext.empty : new LogicalContext(cell.share())
}

/**
 * Runs `fn` in a block that starts from `context`, and returns its result. Writes in the block do not leave it, and two
 * runs of one context start with the same values. The unit is the caller's; outside any unit the block has none, and
 * cannot spawn. A thenable that `fn` returns starts in the block, and `run` returns a promise for it.
 *
 * @throws {TypeError} if `context` is not a `LogicalContext` or `fn` is not a function.
 */
export function run<Args extends unknown[], R extends PromiseLike<unknown> | null | undefined>(
  context: LogicalContext,
  fn: (...args: Args) => R,
  ...args: Args
): Started<R>
export function run<Args extends unknown[], R>(context: LogicalContext, fn: (...args: Args) => R, ...args: Args): R
export function run<Args extends unknown[], R>(context: LogicalContext, fn: (...args: Args) => R, ...args: Args): R {
  checkArgument('run', aContext, context)
  checkFunction('run', fn)
  return runBlock(openBlock(context.toValues(), currentCell()?.unit), fn, args)
}

/**
 * Runs `fn` outside any unit, and outside the contexts of other libraries, and returns its result. Use it for objects
 * that many units share: a pool, a worker, a cache, an interval. Created in a unit, such an object would run the work of
 * other units in that unit's context, and retain it. A thenable that `fn` returns starts outside too.
 *
 * @throws {TypeError} if `fn` is not a function.
 */
export function outside<Args extends unknown[], R extends PromiseLike<unknown> | null | undefined>(
  fn: (...args: Args) => R,
  ...args: Args
): Started<R>
export function outside<Args extends unknown[], R>(fn: (...args: Args) => R, ...args: Args): R
export function outside<Args extends unknown[], R>(fn: (...args: Args) => R, ...args: Args): R {
  checkFunction('outside', fn)
  return root.runInAsyncScope(() => start(fn(...args)))
}
