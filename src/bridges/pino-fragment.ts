import { type Cell, type cellKey } from '../context/cell.ts'
import { show } from '../options.ts'
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

export function findInside(logger: unknown): Inside {
  const found = new Map<string | undefined, symbol>()
  for (
    let object: unknown = logger;
    object !== null && typeof object === 'object';
    object = Object.getPrototypeOf(object)
  ) {
    for (const symbol of Object.getOwnPropertySymbols(object)) found.set(symbol.description, symbol)
  }
  const entries = Object.entries(descriptions).map(([name, description]) => {
    const symbol = found.get(description)
    if (symbol !== undefined) return [name, symbol] as const
    throw new TypeError(
      `contextLogger: expected a logger of pino 10, got one without '${description}': ${show(logger)}. Use pinoMixin.`,
    )
  })
  return Object.fromEntries(entries) as Inside
}

/** The fields of one cell as text, ready to stand behind a logger's own bindings. */
export interface Fragment {
  readonly fields: LogFields
  readonly stringifiers: unknown
  readonly serializers: unknown
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
    fragment.serializers !== logger[inside.serializers]
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
  for (const [key, value] of fields.of(cell)) {
    const stringify =
      stringifiers[key] ?? (wildcard && stringifiers[wildcard]) ?? (logger[inside.stringify] as Stringify)
    try {
      const text = stringify(serializers[key]?.(value) ?? value, logger[inside.stringifySafe])
      if (text !== undefined) parts.push([key, `,${JSON.stringify(key)}:${text}`])
    } catch {
      // A field that cannot be written is left out: a log call never throws for the sake of its context.
    }
  }
  const text = parts.map(([, part]) => part).join('')
  return { fields, stringifiers, serializers, parts, text, bindings: '', joined: text, clash: false }
}

type Stringify = (value: unknown, safe: unknown) => string | undefined
