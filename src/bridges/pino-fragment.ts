import type { Cell, cellKey } from '../context/cell.ts'
import { show } from '../options.ts'
import { activeTrace } from '../variables/trace-context.ts'
import type { LogFields } from './log-fields.ts'

/** A pino logger's inside, as far as a line passes through it. */
export interface Internals {
  [symbol: symbol]: unknown
  [cellKey]?: Cell
}

/** The symbols of the copy of pino that has made a logger, by their descriptions. */
export const descriptions = {
  asJson: 'pino.asJson',
  bindings: 'pino.chindings',
  end: 'pino.end',
  formatters: 'pino.formatters',
  messageKey: 'pino.messageKey',
  nestedKey: 'pino.nestedKey',
  serializers: 'pino.serializers',
  stringifiers: 'pino.stringifiers',
  stringify: 'pino.stringify',
  stringifySafe: 'pino.stringifySafe',
} as const

export type Inside = Record<keyof typeof descriptions, symbol>

export function findInside(logger: object): Inside {
  const entries = Object.entries(descriptions).map(([name, description]) => {
    const symbol = findSymbol(logger, description)
    if (symbol !== undefined) return [name, symbol] as const
    throw new TypeError(
      `contextLogger: expected a logger of pino 10, got one without '${description}': ${show(logger)}. Use pinoMixin.`,
    )
  })
  return Object.fromEntries(entries) as Inside
}

/** A symbol of the logger or of what it inherits from. */
export function findSymbol(logger: object, description: string): symbol | undefined {
  for (let object: object | null = logger; object !== null; object = Object.getPrototypeOf(object) as object | null) {
    const symbol = Object.getOwnPropertySymbols(object).find((candidate) => candidate.description === description)
    if (symbol !== undefined) return symbol
  }
  return undefined
}

/** The fields of one cell as text, ready to stand behind a logger's own bindings. */
export interface Fragment {
  readonly fields: LogFields
  readonly stringifiers: unknown
  readonly serializers: unknown
  /** What a tracer said when it was written; spans come and go without a write. */
  readonly active: unknown
  readonly text: string
  /** The pieces of the text by their keys, once a line was written that has some of the keys itself. */
  parts: readonly Part[] | undefined
  /** Behind the bindings of the latest line, and of the one before with others. */
  latest: Joined | undefined
  earlier: Joined | undefined
}

/** The fields behind a logger's own bindings. */
export interface Joined {
  readonly bindings: string
  readonly text: string
  /** Whether the bindings may hold one of the keys already. */
  readonly clash: boolean
  /** Whether V8 has the text in one piece. */
  whole: boolean
}

/** A key, and `,"key":value` as it stands in a line. */
export type Part = readonly [key: string, text: string]

export function fragmentFor(logger: Internals, inside: Inside, cell: Cell, fields: LogFields): Fragment {
  let fragment = cell.memo as Fragment | undefined
  if (
    fragment?.fields !== fields ||
    fragment.stringifiers !== logger[inside.stringifiers] ||
    fragment.serializers !== logger[inside.serializers] ||
    fragment.active !== activeTrace(undefined)
  ) {
    fragment = writeFragment(logger, inside, cell, fields)
    // A layer's values may change with its driver's, without a write.
    if (cell.driver === undefined) cell.memo = fragment
  }
  return fragment
}

/** The fields behind `bindings`, which may be joined with them already. */
export function joinTo(bindings: string, fragment: Fragment): Joined {
  const { latest, earlier } = fragment
  if (latest !== undefined && isOf(latest, bindings)) return inOnePiece(latest)
  // The lines of a request's own logger and of the app's take turns.
  fragment.earlier = latest
  fragment.latest = earlier !== undefined && isOf(earlier, bindings) ? inOnePiece(earlier) : join(bindings, fragment)
  return fragment.latest
}

function isOf(joined: Joined, bindings: string): boolean {
  return joined.bindings === bindings || joined.text === bindings
}

function join(bindings: string, { fields, text }: Fragment): Joined {
  return { bindings, text: bindings + text, clash: fields.mayBeIn(bindings), whole: false }
}

/**
 * V8 keeps a text that was put together as a tree of its pieces until somebody reads in it, and writes each line from
 * the tree: at the second line it pays to read in it.
 */
function inOnePiece(joined: Joined): Joined {
  if (!joined.whole) joined.whole = joined.text.charCodeAt(0) === comma
  return joined
}

export function partsOf(fragment: Fragment, logger: Internals, inside: Inside, cell: Cell): readonly Part[] {
  if (fragment.parts === undefined) {
    const parts: Part[] = []
    writeParts(logger, inside, cell, fragment.fields, (key, text) => parts.push([key, text]))
    fragment.parts = parts
  }
  return fragment.parts
}

function writeFragment(logger: Internals, inside: Inside, cell: Cell, fields: LogFields): Fragment {
  const stringifiers = logger[inside.stringifiers]
  const serializers = logger[inside.serializers]
  let text = ''
  writeParts(logger, inside, cell, fields, (_key, part) => (text += part))
  const active = activeTrace(undefined)
  return { fields, stringifiers, serializers, active, text, parts: undefined, latest: undefined, earlier: undefined }
}

/** Gives each field as the logger writes it: with its serializers and its redaction. */
function writeParts(
  logger: Internals,
  inside: Inside,
  cell: Cell,
  fields: LogFields,
  take: (key: string, text: string) => void,
): void {
  const serializers = logger[inside.serializers] as Record<string, ((value: unknown) => unknown) | undefined>
  const stringifiers = logger[inside.stringifiers] as Record<string | symbol, Stringify | undefined>
  const wildcard = wildcardOf(stringifiers)
  fields.read(cell, (key, value, prefix) => {
    const serialize = serializers[key]
    const shown = serialize === undefined ? value : serialize(value)
    const stringify = stringifiers[key] ?? (wildcard && stringifiers[wildcard])
    const text =
      stringify === undefined && isPlain(shown)
        ? `"${shown}"`
        : (stringify ?? (logger[inside.stringify] as Stringify))(shown, logger[inside.stringifySafe])
    if (text !== undefined) take(key, prefix + text)
  })
}

/** The key of a redaction of everything, by the stringifiers that may have it. */
const wildcards = new WeakMap<object, symbol | undefined>()

function wildcardOf(stringifiers: object): symbol | undefined {
  if (!wildcards.has(stringifiers)) {
    const symbols = Object.getOwnPropertySymbols(stringifiers)
    wildcards.set(
      stringifiers,
      symbols.find(({ description }) => description === 'pino.wildcardFirst'),
    )
  }
  return wildcards.get(stringifiers)
}

/** A text that is the same in JSON, as ids are: to look is cheaper than to convert. */
function isPlain(value: unknown): value is string {
  if (typeof value !== 'string' || value.length > longest) return false
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code < 0x20 || code > 0x7e || code === quote || code === backslash) return false
  }
  return true
}

const longest = 64
const [quote, comma, backslash] = [0x22, 0x2c, 0x5c] as const

type Stringify = (value: unknown, safe: unknown) => string | undefined
