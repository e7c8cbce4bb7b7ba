import { inspect } from 'node:util'

/** Says what was expected, where the value is not that. */
export type Check = (value: unknown) => string | undefined

export type Checks = Readonly<Record<string, Check>>

/**
 * Checks an options object before it is destructured.
 *
 * @throws {TypeError} for what is no object, for an unknown option and for one of the wrong type; it names the option.
 */
export function checkOptions(owner: string, options: unknown, checks: Checks): void {
  if (options === undefined) return
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new TypeError(`${owner}: expected an options object, got ${show(options)}.`)
  }
  // A spawn checks its options too, so no array of entries is made here.
  for (const name in options) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (check === undefined) {
      throw new TypeError(`${owner}: unknown option '${name}', expected one of: ${Object.keys(checks).join(', ')}.`)
    }
    const value = (options as Record<string, unknown>)[name]
    const expected = value === undefined ? undefined : check(value)
    if (expected !== undefined) {
      throw new TypeError(`${owner}: option '${name}' expected ${expected}, got ${show(value)}.`)
    }
  }
}

export function anyOf(expected: string, accepts: (value: unknown) => boolean): Check {
  return (value) => (accepts(value) ? undefined : expected)
}

export function oneOf(...values: readonly string[]): Check {
  return anyOf(values.map((value) => `'${value}'`).join(' or '), (value) => values.includes(value as string))
}

export const anything: Check = () => undefined
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

/** A value in an error message: short, and never throwing. */
export function show(value: unknown): string {
  try {
    return inspect(value, { depth: 1, breakLength: Number.POSITIVE_INFINITY, maxStringLength: 64, maxArrayLength: 8 })
  } catch {
    return `a value of type ${typeof value}`
  }
}
