import type { inspect } from 'node:util'

/** What an argument or an option must be. */
export interface Check {
  /** For the error message: "expected …". */
  readonly expected: string
  accepts(value: unknown): boolean
}

export type Checks = Readonly<Record<string, Check>>

/**
 * Checks one argument.
 *
 * @param owner The function that the user called.
 * @throws {TypeError} if the check does not accept the value.
 */
export function checkArgument(owner: string, check: Check, value: unknown): void {
  if (!check.accepts(value)) throw new TypeError(`${owner}: expected ${check.expected}, got ${show(value)}.`)
}

/** @throws {TypeError} if `fn` is not a function. */
export function checkFunction(owner: string, fn: unknown): void {
  if (typeof fn !== 'function') checkArgument(owner, aFunction, fn)
}

/**
 * Checks that the program called a factory. If it passes the factory to a library, in place of what the factory returns,
 * the library calls it: with a function, or with several arguments.
 *
 * @param owner The factory.
 * @param product What it returns, such as `a middleware`.
 * @param call How the program calls it.
 * @param args The arguments of the factory: an options object, or none.
 * @throws {TypeError} for other arguments.
 */
export function checkCalled(owner: string, product: string, call: string, ...args: readonly unknown[]): void {
  if (args.length < 2 && typeof args[0] !== 'function') return
  throw new TypeError(`${owner}: expected options, got the arguments of ${product}. Call it: ${call}.`)
}

/**
 * Checks an options object. Destructure the result, not the argument: `undefined` and a polluted `Object.prototype`
 * are replaced in it. An option with the value `undefined` is not set.
 *
 * @param owner The function that the user called.
 * @throws {TypeError} if `options` is not an object, or for an option that is unknown or of the wrong type.
 */
export function checkOptions<O extends object>(owner: string, options: O | undefined, checks: Checks): O
export function checkOptions(owner: string, options: unknown, checks: Checks): object
export function checkOptions(owner: string, options: unknown, checks: Checks): object {
  if (options === undefined) return noOptions
  if (!isOptions(options)) throw notOptions(owner, options)
  let isEmpty = true
  let inherits = false
  let isPolluted = false
  // `spawn` checks its options too: no array of entries is made here.
  for (const name in options) {
    // Inside a loop over the names, V8 makes this call faster than `Object.hasOwn`.
    if (!hasOwnProperty.call(options, name)) {
      inherits = true
      if (isFromPollution(options, name)) {
        isPolluted = true
        continue
      }
    }
    isEmpty = false
    // `toString` is inherited, and has no `accepts`.
    const known = checks[name]
    const check = known?.accepts === undefined ? undefined : known
    // An unknown option is refused before its getter could throw.
    const isGetter = check === undefined && Object.getOwnPropertyDescriptor(options, name)?.get !== undefined
    const value = isGetter ? null : (options as Record<string, unknown>)[name]
    if (value === undefined) continue
    if (check === undefined) {
      throw new TypeError(`${owner}: unknown option '${name}', expected one of: ${Object.keys(checks).join(', ')}.`)
    }
    if (!check.accepts(value)) {
      throw new TypeError(`${owner}: option '${name}' expected ${check.expected}, got ${show(value)}.`)
    }
  }
  // Faster than a look at the prototype.
  if (!isEmpty && !inherits && options.constructor === Object) return options
  if (isPlain(options)) return isPolluted ? withoutPollution(options) : options
  // A Map, a Date or a context has no options that can be read.
  if (isEmpty) throw notOptions(owner, options)
  // A copy, because a spread would omit inherited options.
  return withoutPollution(options)
}

const { hasOwnProperty } = Object.prototype

/**
 * Separates our options from those of another library, which are not checked. Both results are copies without what a
 * polluted `Object.prototype` adds.
 *
 * @param owner The function that the user called.
 * @throws {TypeError} if `options` is not an object, or if an option of ours is of the wrong type.
 */
export function splitOptions<Own extends object, Others extends object>(
  owner: string,
  options: (Own & Others) | undefined,
  checks: Checks,
): { own: Own; others: Others } {
  const own: Record<string, unknown> = {}
  const others: Record<string, unknown> = {}
  if (options !== undefined) {
    if (!isOptions(options)) throw notOptions(owner, options)
    let isEmpty = true
    for (const name in options) {
      if (isFromPollution(options, name)) continue
      isEmpty = false
      const value: unknown = Reflect.get(options, name)
      if (Object.hasOwn(checks, name)) own[name] = value
      else others[name] = value
    }
    if (isEmpty && !isPlain(options)) throw notOptions(owner, options)
  }
  return { own: checkOptions(owner, own as Own, checks), others: others as Others }
}

/** Its prototype has no prototype. V8 reads it faster than an object without a prototype. */
export const noOptions: object = Object.freeze(Object.create(Object.create(null) as object) as object)

function isOptions(options: unknown): options is object {
  return typeof options === 'object' && options !== null && !Array.isArray(options)
}

/** Whether a value has properties by name. A Map or a Date has none that can be read. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return isOptions(value) && (isPlain(value) || Object.keys(value).length > 0)
}

function notOptions(owner: string, options: unknown): TypeError {
  return new TypeError(`${owner}: expected an options object, got ${show(options)}.`)
}

/** Whether an option exists only because other code added a property to `Object.prototype`. */
function isFromPollution(options: object, name: string): boolean {
  if (Object.hasOwn(options, name) || !Object.hasOwn(Object.prototype, name)) return false
  return Reflect.get(options, name) === Reflect.get(Object.prototype, name)
}

function withoutPollution(options: object): object {
  const clean = Object.create(null) as Record<string, unknown>
  for (const name in options) if (!isFromPollution(options, name)) clean[name] = Reflect.get(options, name)
  return clean
}

/** An object literal of any realm, or an object without a prototype. */
function isPlain(options: object): boolean {
  const prototype = Object.getPrototypeOf(options) as object | null
  return prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null
}

export function anyOf(expected: string, accepts: (value: unknown) => boolean): Check {
  return { expected, accepts }
}

export function oneOf(...values: readonly string[]): Check {
  return anyOf(values.map((value) => `'${value}'`).join(' or '), (value) => values.includes(value as string))
}

export const anything: Check = anyOf('anything', () => true)
export const aBoolean: Check = anyOf('a boolean', (value) => typeof value === 'boolean')
export const aString: Check = anyOf(
  'a string of at least one character',
  (value) => typeof value === 'string' && value !== '',
)
export const aFunction: Check = anyOf('a function', isFunction)
/** A time or a size: finite, not negative. */
export const anAmount: Check = anyOf(
  'a number of at least 0',
  (value) => typeof value === 'number' && value >= 0 && value < Number.POSITIVE_INFINITY,
)

export function isFunction(value: unknown): value is (...args: never[]) => unknown {
  return typeof value === 'function'
}

/** The name of the method that `console.log` calls. An import of `node:util` for it would load all that module has. */
export const inspectCustom: typeof inspect.custom = Symbol.for('nodejs.util.inspect.custom') as typeof inspect.custom

/** In characters. */
const longestShown = 500

/** A value in an error message: short, and without an exception from the value's own code. */
export function show(value: unknown): string {
  try {
    const util = process.getBuiltinModule('node:util')
    const text = util.inspect(value, {
      depth: 1,
      breakLength: Number.POSITIVE_INFINITY,
      maxStringLength: 64,
      maxArrayLength: 8,
    })
    // A request or an app has hundreds of properties. The stack of an error is whole.
    return text.length > longestShown && !(value instanceof Error) ? `${text.slice(0, longestShown)} …` : text
  } catch {
    return `a value of type ${typeof value}`
  }
}
