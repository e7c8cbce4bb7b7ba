import { type Cell, type cellKey, currentCell } from '../context/cell.ts'
import { show } from '../options.ts'
import { activeTrace } from '../variables/trace-context.ts'
import type { LogFields } from './log-fields.ts'

/** The part of a pino logger's internals that a line passes through. */
export interface Internals {
  [symbol: symbol]: unknown
  [cellKey]?: Cell
}

/** The symbols of the copy of pino that made a logger, by their descriptions. */
const descriptions = {
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

/** @throws {TypeError} if the logger is not a logger of pino 9 or 10. */
export function findInside(logger: object): Inside {
  const entries = Object.entries(descriptions).map(([name, description]) => {
    const symbol = findSymbol(logger, description)
    if (symbol !== undefined) return [name, symbol] as const
    throw new TypeError(
      `contextLogger: expected a logger of pino 9 or 10, got one without '${description}': ${show(logger)}. Use pinoMixin.`,
    )
  })
  return Object.fromEntries(entries) as Inside
}

/** Returns a function that reads a logger's bindings as text: `''` if it has none. It looks up the symbol once. */
export function bindingsReader(): (logger: unknown) => string {
  let symbol: symbol | undefined
  return (logger) => {
    if (typeof logger !== 'object' || logger === null) return ''
    symbol ??= findSymbol(logger, descriptions.bindings)
    const bindings = symbol === undefined ? '' : (logger as Internals)[symbol]
    return typeof bindings === 'string' ? bindings : ''
  }
}

/** A symbol of the logger or of its prototypes. */
function findSymbol(logger: object, description: string): symbol | undefined {
  for (let object: object | null = logger; object !== null; object = Object.getPrototypeOf(object) as object | null) {
    const symbol = Object.getOwnPropertySymbols(object).find((candidate) => candidate.description === description)
    if (symbol !== undefined) return symbol
  }
  return undefined
}

/** The fields of one cell as text: written once, and again after a variable is set. */
export interface Fragment {
  readonly fields: LogFields
  readonly stringifiers: unknown
  readonly serializers: unknown
  /** The tracer's active trace when the text was written; spans come and go without a write to a variable. */
  readonly active: TraceOfNow
  readonly parts: readonly Part[]
  /** The text of all parts. */
  readonly text: string
  /** The fields after the bindings of the latest line. */
  latest: { readonly bindings: string; readonly text: string } | undefined
}

type TraceOfNow = ReturnType<typeof activeTrace>

/** A key, the text before its value, and the text of its value. */
interface Part {
  readonly key: string
  readonly prefix: string
  readonly value: string
}

export function fragmentFor(logger: Internals, inside: Inside, cell: Cell, fields: LogFields): Fragment {
  const known = cell.memo as Fragment | undefined
  const active = cell === currentCell() ? activeTrace(undefined) : undefined
  const stringifiers = logger[inside.stringifiers]
  const serializers = logger[inside.serializers]
  if (
    known !== undefined &&
    known.fields === fields &&
    // A child may have serializers and a redaction of its own.
    known.stringifiers === stringifiers &&
    known.serializers === serializers &&
    known.active === active
  ) {
    return known
  }
  const parts = writeParts(logger, inside, cell, fields)
  const fragment = { fields, stringifiers, serializers, active, parts, text: textOf(parts), latest: undefined }
  cell.memo = fragment
  return fragment
}

/** The fields after a logger's own bindings, without those that the bindings have. */
export function joinTo(bindings: string, fragment: Fragment): string {
  if (fragment.latest?.bindings !== bindings) {
    const { fields, parts, text } = fragment
    const missing = fields.mayBeIn(bindings) ? textOf(parts.filter((part) => !hasKey(bindings, part))) : text
    fragment.latest = { bindings, text: bindings + missing }
  }
  return fragment.latest.text
}

/** A line with those fields that it does not have. */
export function withMissing(line: string, { parts }: Fragment, end: string): string {
  let written: object
  try {
    written = JSON.parse(line) as object
  } catch {
    return line
  }
  const missing = parts.filter(({ key }) => !Object.hasOwn(written, key))
  return line.slice(0, line.length - end.length) + textOf(missing) + end
}

/** Whether a logger's bindings have a key; the prefix may also be inside of a value. */
export function hasKey(bindings: string, { key, prefix }: Pick<Part, 'key' | 'prefix'>): boolean {
  if (!bindings.includes(prefix)) return false
  try {
    return Object.hasOwn(JSON.parse(`{${bindings.slice(1)}}`) as object, key)
  } catch {
    return true
  }
}

function textOf(parts: readonly Part[]): string {
  let text = ''
  for (const { prefix, value } of parts) text += prefix + value
  return text
}

/** Writes each field as the logger does: with its serializers and its redaction. */
function writeParts(logger: Internals, inside: Inside, cell: Cell, fields: LogFields): Part[] {
  const parts: Part[] = []
  const serializers = logger[inside.serializers] as Record<string, ((value: unknown) => unknown) | undefined>
  const stringifiers = logger[inside.stringifiers] as Stringifiers
  const byDefault = wildcardOf(stringifiers) ?? (logger[inside.stringify] as Stringify)
  fields.read(cell, (key, value, prefix) => {
    const serialize = serializers[key]
    const shown = serialize === undefined ? value : serialize(value)
    const text = (stringifiers[key] ?? byDefault)(shown, logger[inside.stringifySafe])
    if (text !== undefined) parts.push({ key, prefix, value: text })
  })
  return parts
}

type Stringify = (value: unknown, safe: unknown) => string | undefined
type Stringifiers = Record<string | symbol, Stringify | undefined>

/** The redaction of all keys. Most loggers of a program share one object, so the search in it is kept. */
function wildcardOf(stringifiers: Stringifiers): Stringify | undefined {
  if (stringifiers !== searched) {
    searched = stringifiers
    wildcard = Object.getOwnPropertySymbols(stringifiers).find(
      ({ description }) => description === 'pino.wildcardFirst',
    )
  }
  return wildcard && stringifiers[wildcard]
}

let searched: Stringifiers | undefined
let wildcard: symbol | undefined
