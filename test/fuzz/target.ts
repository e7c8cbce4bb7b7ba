/** A parser, and what it promises of every input. */
export interface FuzzTarget {
  /** Of the parser, and of its folder of kept inputs. */
  readonly name: string
  /** Inputs to start from: of each kind one that is right, and one that is nearly right. */
  readonly seeds: readonly string[]
  /** What the grammar is made of. */
  readonly tokens: readonly string[]
  /** The parser and, where there is one, the writer, with nothing around them: what is timed. */
  readonly read: (input: string) => unknown
  /** Throws where a promise is broken. */
  readonly check: (input: string) => void | Promise<void>
  /** Puts a long text where the parser has to look at all of it. Default: as it is. */
  readonly frame?: (text: string) => string
}

/** Cheaper than an assertion of the test runner, which would take most of the time. */
export function ensure(condition: boolean, promise: string, ...values: unknown[]): asserts condition {
  if (!condition)
    throw new Error(`${promise}: ${values.map((value) => JSON.stringify(value) ?? String(value)).join(', ')}`)
}

export function ensureSame(actual: unknown, expected: unknown, promise: string): void {
  if (!isSame(actual, expected)) ensure(false, promise, actual, expected)
}

/** The characters that are allowed anywhere in a header: printable ASCII, space and tab. RFC 9110, 5.5 */
export function ensureLegal(text: string): void {
  if (!legal.test(text)) ensure(false, 'writes a legal header value', text)
}

const legal = /^[\t\x20-\x7e]*$/

function isSame(actual: unknown, expected: unknown): boolean {
  if (Object.is(actual, expected)) return true
  if (typeof actual !== 'object' || typeof expected !== 'object' || actual === null || expected === null) return false
  const keys = Object.keys(actual)
  if (keys.length !== Object.keys(expected).length) return false
  return keys.every((key) => isSame(actual[key as never], expected[key as never]))
}
