import { containedValue } from '../callbacks.ts'
import { watch } from '../context/watch.ts'
import { aFunction, checkCalled, type Checks, checkOptions, show } from '../options.ts'
import { cellFor, LogFields, logFieldsChecks, type LogFieldsOptions } from './log-fields.ts'
import {
  bindingsReader,
  findInside,
  fragmentFor,
  type Inside,
  type Internals,
  hasKey,
  joinTo,
  withMissing,
} from './pino-fragment.ts'

export type { KnownField, LogField, LogFieldsOptions } from './log-fields.ts'

/** The part of a pino logger that `contextLogger` requires; it finds the rest by the names of pino's symbols. */
export interface PinoLike {
  child: unknown
  bindings: unknown
}

/** Options of `pinoMixin`. */
export interface PinoMixinOptions extends LogFieldsOptions {
  /** A mixin of your own. If both have a key, yours is written. Default: none. */
  mixin?: (mergeObject: object, level: number, logger: never) => object
}

/** `mixin` of pino's options. */
export type PinoMixin = (mergeObject: object, level: number, logger: unknown) => object

const mixinChecks: Checks = { ...logFieldsChecks, mixin: aFunction }

/**
 * Adds the fields of the current unit to every line of `logger` and of its children: `request_id`, `trace_id`,
 * `span_id`, `trace_flags`, in tasks `task_name` and `task_id`, and the declared fields. A key of the log call, of a
 * child's bindings or of a mixin is kept, and the field is omitted. Redaction and serializers apply. Returns the same
 * logger, changed.
 *
 * The fields are written once for each unit, and again after a variable is set: a line costs what a static child's line
 * costs. It uses pino's internals; `pinoMixin` does the same through pino's options, once for each line.
 *
 * @throws {TypeError} if `logger` is not a logger of pino 9 or 10, if a field is not a variable or is sensitive, and if the
 *   logger itself writes one of the keys.
 */
export function contextLogger<L extends PinoLike>(logger: L, options?: LogFieldsOptions): L {
  const fields = new LogFields('contextLogger', options)
  if (typeof logger !== 'object' || logger === null) {
    throw new TypeError(`contextLogger: expected a pino logger, got ${show(logger)}.`)
  }
  const inside = findInside(logger)
  const internals: Internals = logger as L & Internals
  for (const key of [internals[inside.messageKey], internals[inside.nestedKey]] as string[]) {
    if (fields.keys.has(key)) {
      throw new TypeError(`contextLogger: expected keys that the logger does not write, got '${key}'.`)
    }
  }
  const asJson = internals[inside.asJson] as AsJson

  const asJsonInContext: AsJson = function (object, message, level, time) {
    const cell = cellFor(this)
    if (cell === undefined) {
      watch.current?.lineOutside()
      return asJson.call(this, object, message, level, time)
    }
    const fragment = fragmentFor(this, inside, cell, fields)
    if (mayHaveKey(this, inside, object, fields.keys)) {
      return withMissing(asJson.call(this, object, message, level, time), fragment, this[inside.end] as string)
    }
    const bindings = this[inside.bindings] as string
    // A serializer or a toJSON that logs finds the fields in the bindings, and adds none.
    this[inside.bindings] = joinTo(bindings, fragment)
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
 * Returns a `mixin` for pino's options that adds the same fields to every line. Use it for a logger that other code
 * makes from options: it costs more than `contextLogger`, because it reads the fields for each line.
 *
 * @throws {TypeError} if a field is not a variable or is sensitive.
 */
export function pinoMixin(options?: PinoMixinOptions, ...calledByPino: never[]): PinoMixin {
  // pino calls a mixin with three arguments, when it writes a line.
  checkCalled('pinoMixin', 'a mixin', '{ mixin: pinoMixin() }', options, ...calledByPino)
  const { mixin, ...fieldOptions } = checkOptions('pinoMixin', options, mixinChecks)
  const fields = new LogFields('pinoMixin', fieldOptions)
  const bindingsOf = bindingsReader()
  return (mergeObject, level, logger) => {
    // A new object for each line: pino writes into it.
    const line: Record<string, unknown> = {}
    const cell = cellFor(logger as Internals | undefined)
    if (cell === undefined) watch.current?.lineOutside()
    else {
      const bindings = bindingsOf(logger)
      const mayHave = fields.mayBeIn(bindings)
      fields.read(cell, (key, value, prefix) => {
        if (!mayHave || !hasKey(bindings, { key, prefix })) line[key] = value
      })
    }
    if (mixin === undefined) return line
    const own = containedValue('pinoMixin, mixin', mixin, mergeObject, level, logger as never)
    return Object.assign(line, own)
  }
}

type AsJson = (this: Internals, object: object, message: unknown, level: number, time: string) => string

/** Whether the line's own object may have one of the keys; a formatter may add any key. */
function mayHaveKey(logger: Internals, inside: Inside, object: object, keys: ReadonlySet<string>): boolean {
  if ((logger[inside.formatters] as { log?: unknown }).log !== undefined) return true
  if (logger[inside.nestedKey]) return false
  for (const key in object) if (keys.has(key)) return true
  return false
}
