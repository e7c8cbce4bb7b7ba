import types from 'node:util/types'
import { anyOf, type Check, isFunction, show } from './options.ts'

/**
 * A function that returns its result, not a promise or an iterator of it. A transpiled or bound async function cannot be
 * recognised, so its result needs `isPromise` too.
 */
export const aSyncFunction: Check = anyOf(
  'a synchronous function',
  (value) => isFunction(value) && !types.isAsyncFunction(value) && !types.isGeneratorFunction(value),
)

/** Whether a value has a method `then`. Reads it once. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return false
  return typeof (value as { then?: unknown }).then === 'function'
}

/**
 * Whether a function of the program returned a promise where a value is needed. The rejection of such a promise is
 * handled here, so that it does not end the process.
 */
export function isPromise(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  try {
    // Only for a native promise: `then` of a lazy thenable, such as a query, would start its work.
    if (types.isPromise(value)) void Promise.prototype.then.call(value, ignore, ignore)
    return typeof (value as { then?: unknown }).then === 'function'
  } catch {
    return true
  }
}

/** Sets the name and the length of a wrapper to those of the function that it wraps. Tracers name spans after functions. */
export function keepShape<F extends Function>({ name, length }: Pick<Function, 'name' | 'length'>, wrapper: F): F {
  return Object.defineProperties(wrapper, {
    name: { value: name, configurable: true },
    length: { value: length, configurable: true },
  })
}

const reported = new WeakSet<object>()

/** Logs the first failure of a function of the program. `owner` is the function, or the object that has it. */
export function reportOnce(owner: object, description: string, error: unknown): void {
  if (reported.has(owner)) return
  reported.add(owner)
  console.error(`logical-context: ${description} failed. It is reported once. ${show(error)}`)
}

/** How many keys are remembered. Further ones are not reported. */
const maxKeys = 1000

/** The keys of what was reported, so that each of them is reported once. */
export class ReportedKeys {
  readonly #keys = new Set<string>()

  get isFull(): boolean {
    return this.#keys.size >= maxKeys
  }

  /** Returns whether the key is new, and remembers it. */
  add(key: string): boolean {
    if (this.isFull || this.#keys.has(key)) return false
    this.#keys.add(key)
    return true
  }
}

/** Calls a function of the program for its effect. It can throw, or return a promise that rejects. */
export function callContained<Args extends unknown[]>(
  description: string,
  fn: (...args: Args) => unknown,
  ...args: Args
): void {
  const failed = (error: unknown) => reportOnce(fn, description, error)
  try {
    const result = fn(...args)
    if (types.isPromise(result)) result.then(undefined, failed)
  } catch (error) {
    failed(error)
  }
}

/** Calls a function of the program for its value: undefined if it throws or returns a promise, which is reported once. */
export function containedValue<Args extends unknown[], R>(
  description: string,
  fn: (...args: Args) => R,
  ...args: Args
): R | undefined {
  try {
    const value = fn(...args)
    if (!isPromise(value)) return value
    reportOnce(fn, description, new TypeError(`Expected a value, got a promise: ${show(value)}.`))
  } catch (error) {
    reportOnce(fn, description, error)
  }
  return undefined
}

function ignore(): void {}
