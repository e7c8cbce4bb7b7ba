import { cellKey, currentCell } from '../context/cell.ts'
import { aFunction, type Checks, checkOptions, show } from '../options.ts'
import { LogFields, logFieldsChecks, type LogFieldsOptions } from './log-fields.ts'
import {
  descriptions,
  findInside,
  findSymbol,
  fragmentFor,
  type Inside,
  type Internals,
  joinTo,
  type Part,
  partsOf,
} from './pino-fragment.ts'

export type { LogField, LogFieldsOptions } from './log-fields.ts'

/** What `contextLogger` needs of a pino logger: the rest it finds by the names of pino's symbols. */
export interface PinoLike {
  child: unknown
  bindings: unknown
}

export interface PinoMixinOptions extends LogFieldsOptions {
  /** A mixin of your own; where both have a key, yours wins. */
  mixin?: (mergeObject: object, level: number, logger: never) => object
}

/** `mixin` of pino's options. */
export type PinoMixin = (mergeObject: object, level: number, logger: unknown) => object

const mixinChecks: Checks = { ...logFieldsChecks, mixin: aFunction }

/**
 * Puts the fields of the current unit on every line of `logger` and of its children: `request_id`, `trace_id`,
 * `span_id`, `trace_flags`, in tasks `task_name` and `task_id`, and the declared ones. A key that the log call, a child's
 * bindings or a mixin has already is theirs. Redaction and serializers apply. Returns the same logger, changed.
 *
 * The fields are written once a unit, and again after a variable is set: a line costs what a static child's line costs.
 * It works on pino's inside; `pinoMixin` does the same from outside, for each line anew.
 *
 * @throws {TypeError} if `logger` is no pino logger of a known kind, for a field that is no variable or a sensitive one,
 *   and for a key that the logger writes itself.
 */
export function contextLogger<L extends PinoLike>(logger: L, options: LogFieldsOptions = {}): L {
  const fields = new LogFields('contextLogger', options)
  if (typeof logger !== 'object' || logger === null) {
    throw new TypeError(`contextLogger: expected a pino logger, got ${show(logger)}.`)
  }
  const inside = findInside(logger)
  const internals = logger as unknown as Internals
  for (const key of [internals[inside.messageKey], internals[inside.nestedKey]] as string[]) {
    if (fields.keys.has(key))
      throw new TypeError(`contextLogger: expected keys the logger does not write, got '${key}'.`)
  }
  const asJson = internals[inside.asJson] as AsJson

  const asJsonInContext: AsJson = function (object, message, level, time) {
    const cell = currentCell() ?? this[cellKey]
    if (cell === undefined) return asJson.call(this, object, message, level, time)
    const bindings = this[inside.bindings] as string
    const fragment = fragmentFor(this, inside, cell, fields)
    const joined = joinTo(bindings, fragment)
    // A serializer or a toJSON that logs comes here again while the bindings are exchanged.
    if (bindings === joined.text) return asJson.call(this, object, message, level, time)
    if (joined.clash || mayClash(this, inside, object, fields.keys)) {
      const line = asJson.call(this, object, message, level, time)
      return withMissing(line, partsOf(fragment, this, inside, cell), this[inside.end] as string)
    }
    this[inside.bindings] = joined.text
    try {
      return asJson.call(this, object, message, level, time)
    } finally {
      this[inside.bindings] = bindings
    }
  }
  internals[inside.asJson] = asJsonInContext
  return logger
}

/**
 * A `mixin` for pino's options that puts the same fields on every line. For a logger that somebody else makes from
 * options; `contextLogger` writes the fields once a unit, this once a line.
 *
 * @throws {TypeError} for a field that is no variable or a sensitive one.
 */
export function pinoMixin(options: PinoMixinOptions = {}): PinoMixin {
  checkOptions('pinoMixin', options, mixinChecks)
  const { mixin, ...fieldOptions } = options
  const fields = new LogFields('pinoMixin', fieldOptions)
  const bindingsOf = bindingsReader()
  return (mergeObject, level, logger) => {
    // Made anew for each line: pino writes into it.
    const line: Record<string, unknown> = {}
    const cell = currentCell() ?? (logger as Internals | undefined)?.[cellKey]
    if (cell !== undefined) {
      const bound = bindingsOf(logger)
      fields.read(cell, (key, value) => {
        if (!bound.includes(`"${key}":`)) line[key] = value
      })
    }
    return mixin === undefined ? line : Object.assign(line, mixin(mergeObject, level, logger as never))
  }
}

type AsJson = (this: Internals, object: object, message: unknown, level: number, time: string) => string

/** Whether the line's own object may have a key of ours; a formatter may add any. */
function mayClash(logger: Internals, inside: Inside, object: object, keys: ReadonlySet<string>): boolean {
  if ((logger[inside.formatters] as { log?: unknown }).log !== undefined) return true
  if (logger[inside.nestedKey]) return false
  for (const key in object) if (keys.has(key)) return true
  return false
}

/** The line with those fields that it has not itself. */
function withMissing(line: string, parts: readonly Part[], end: string): string {
  let written: object
  try {
    written = JSON.parse(line) as object
  } catch {
    return line
  }
  const missing = parts.filter(([key]) => !Object.hasOwn(written, key)).map(([, part]) => part)
  return line.slice(0, line.length - end.length) + missing.join('') + end
}

/** Reads a logger's bindings as text: of a logger that has none, nothing. Its symbol is looked for once. */
function bindingsReader(): (logger: unknown) => string {
  let symbol: symbol | undefined
  return (logger) => {
    if (typeof logger !== 'object' || logger === null) return ''
    symbol ??= findSymbol(logger, descriptions.bindings)
    const bindings = symbol === undefined ? '' : (logger as Internals)[symbol]
    return typeof bindings === 'string' ? bindings : ''
  }
}
