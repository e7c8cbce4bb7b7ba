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
  readonly parts: readonly Part[]
  readonly text: string
  bindings: string
  joined: string
  /** Whether the bindings may hold one of the keys already. */
  clash: boolean
}

/** A key, and `,"key":value` as it stands in a line. */
export type Part = readonly [key: string, text: string]

export function fragmentFor(
  logger: Internals,
  inside: Inside,
  cell: Cell,
  fields: LogFields,
  bindings: string,
): Fragment {
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
  if (fragment.bindings !== bindings && fragment.joined !== bindings) {
    fragment.bindings = bindings
    fragment.joined = bindings + fragment.text
    fragment.clash = fragment.parts.some(([key]) => bindings.includes(`"${key}":`))
  }
  return fragment
}

function writeFragment(logger: Internals, inside: Inside, cell: Cell, fields: LogFields): Fragment {
  const serializers = logger[inside.serializers] as Record<string, ((value: unknown) => unknown) | undefined>
  const stringifiers = logger[inside.stringifiers] as Record<string | symbol, Stringify | undefined>
  const wildcard = Object.getOwnPropertySymbols(stringifiers).find(
    (symbol) => symbol.description === 'pino.wildcardFirst',
  )
  const parts: Part[] = []
  fields.read(cell, (key, value) => {
    const serialize = serializers[key]
    const stringify =
      stringifiers[key] ?? (wildcard && stringifiers[wildcard]) ?? (logger[inside.stringify] as Stringify)
    const text = stringify(serialize === undefined ? value : serialize(value), logger[inside.stringifySafe])
    if (text !== undefined) parts.push([key, `,${JSON.stringify(key)}:${text}`])
  })
  const text = parts.map(([, part]) => part).join('')
  const active = activeTrace(undefined)
  return { fields, stringifiers, serializers, active, parts, text, bindings: '', joined: text, clash: false }
}

type Stringify = (value: unknown, safe: unknown) => string | undefined
