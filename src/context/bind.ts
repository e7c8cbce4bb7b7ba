import { checkFunction } from '../options.ts'
import { isStarted, start, type Started } from './block.ts'
import { type AsyncSnapshot, captureSnapshot } from './storage.ts'
import { watch } from './watch.ts'

/**
 * Returns `fn` as a part of the unit that calls `bind`: it reads and writes the unit's values, regardless of its caller.
 * The contexts of other libraries are bound too. For a snapshot use `run(current(), fn)`. The result has the name, the
 * length and the receiver of `fn`. A thenable that `fn` returns starts in the unit, and the caller gets a promise.
 *
 * @throws {TypeError} if `fn` is not a function.
 */
export function bind<This, Args extends unknown[], R extends PromiseLike<unknown> | null | undefined>(
  fn: (this: This, ...args: Args) => R,
): (this: This, ...args: Args) => Started<R>
export function bind<This, Args extends unknown[], R>(
  fn: (this: This, ...args: Args) => R,
): (this: This, ...args: Args) => R
export function bind<This, Args extends unknown[], R>(
  fn: (this: This, ...args: Args) => R,
): (this: This, ...args: Args) => R {
  checkFunction('bind', fn)
  const { name, length } = fn
  const target = fn as AnyFunction
  const shape = shapes[length] ?? shapes[0]
  const snapshot = captureSnapshot()
  const bound = name === '' ? shape.anonymous(snapshot, target) : shape.named(snapshot, target, name)
  if (length > maxLength) Object.defineProperty(bound, 'length', { value: length, configurable: true })
  watch.current?.bound(bound)
  return bound as (this: This, ...args: Args) => R
}

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown

interface Shape {
  anonymous(snapshot: AsyncSnapshot, fn: AnyFunction): AnyFunction
  named(snapshot: AsyncSnapshot, fn: AnyFunction, name: string): AnyFunction
}

/**
 * The results of `bind`, by their length. The key of a function in an object literal is the name of the function. To
 * define `name` and `length` of a function later takes ten times as long as the rest of `bind`.
 */
const shapes: readonly [Shape, ...Shape[]] = [
  {
    anonymous: (snapshot, fn) =>
      function (this: unknown) {
        return startIn(snapshot, snapshot.runInAsyncScope(fn, this, ...arguments))
      },
    named: (snapshot, fn, name) =>
      ({
        [name]: function (this: unknown) {
          return startIn(snapshot, snapshot.runInAsyncScope(fn, this, ...arguments))
        },
      })[name] as AnyFunction,
  },
  {
    anonymous: (snapshot, fn) =>
      function (this: unknown, _first) {
        return startIn(snapshot, snapshot.runInAsyncScope(fn, this, ...arguments))
      },
    named: (snapshot, fn, name) =>
      ({
        [name]: function (this: unknown, _first: unknown) {
          return startIn(snapshot, snapshot.runInAsyncScope(fn, this, ...arguments))
        },
      })[name] as AnyFunction,
  },
  {
    anonymous: (snapshot, fn) =>
      function (this: unknown, _first, _second) {
        return startIn(snapshot, snapshot.runInAsyncScope(fn, this, ...arguments))
      },
    named: (snapshot, fn, name) =>
      ({
        [name]: function (this: unknown, _first: unknown, _second: unknown) {
          return startIn(snapshot, snapshot.runInAsyncScope(fn, this, ...arguments))
        },
      })[name] as AnyFunction,
  },
]
const maxLength = shapes.length - 1

function startIn<R>(snapshot: AsyncSnapshot, result: R): R {
  return isStarted(result) ? result : snapshot.runInAsyncScope(start<R>, undefined, result)
}
