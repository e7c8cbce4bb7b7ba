import { inspect } from 'node:util'
import { show } from '../options.ts'
import type { ContextVar } from './context-var.ts'
import { shareClass } from './shared-class.ts'
import { sensitiveVariables, variableNames } from './storage.ts'
import {
  copyFor,
  decode,
  deletedValue,
  emptyValues,
  encode,
  entriesOf,
  firstIndex,
  isPresent,
  read,
  type Values,
  write,
} from './values.ts'

/**
 * An immutable mapping of variables to values. Whoever holds one holds a snapshot: no later write reaches it.
 *
 * @see {@link https://peps.python.org/pep-0550/#introduction PEP 550}
 */
export class LogicalContext {
  /** The context in which nothing is set. */
  static get empty(): LogicalContext {
    return empty
  }

  /** @internal Read by other copies of the package too, so not a private field. */
  readonly values: Values

  /** @internal Use `current()`, or `LogicalContext.empty.with(variable, value)`. */
  constructor(values: Values) {
    this.values = values
  }

  /** The value in this context, or the variable's default. */
  get<T, D>(variable: ContextVar<T, D>): T | D {
    const raw = read(this.values, variable.index)
    return isPresent(raw) ? (decode(raw) as T) : variable.default
  }

  /** Whether a value is set; a set `undefined` is a value. */
  has<T, D>(variable: ContextVar<T, D>): boolean {
    return isPresent(read(this.values, variable.index))
  }

  /** This context with one variable set. */
  with<T, D>(variable: ContextVar<T, D>, value: T): LogicalContext {
    return this.#written(variable, encode(value))
  }

  /** This context with one variable unset. */
  without<T, D>(variable: ContextVar<T, D>): LogicalContext {
    return this.has(variable) ? this.#written(variable, deletedValue) : this
  }

  /** The names of the variables that are set; never their values. */
  toString(): string {
    return `LogicalContext(${Array.from(this.#entries(), ([name]) => name).join(', ')})`
  }

  /** The names too: what JSON shows may end in a log. */
  toJSON(): string {
    return this.toString()
  }

  /** What `console.log` shows: names and values, a sensitive value as `[sensitive]`. Never throws. */
  [inspect.custom](): string {
    const entries = Array.from(this.#entries(), ([name, value]) => `${name}: ${value}`)
    return entries.length === 0 ? 'LogicalContext {}' : `LogicalContext { ${entries.join(', ')} }`
  }

  *#entries(): Generator<[name: string, shown: string]> {
    for (const [index, raw] of entriesOf(this.values)) {
      if (!isPresent(raw)) continue
      const name = variableNames[index - firstIndex] ?? '?'
      yield [name, sensitiveVariables.has(index) ? '[sensitive]' : show(decode(raw))]
    }
  }

  #written<T, D>(variable: ContextVar<T, D>, raw: unknown): LogicalContext {
    return new LogicalContext(write(copyFor(this.values, variable), variable, raw))
  }
}

shareClass(LogicalContext, 'LogicalContext')

const empty = new LogicalContext(emptyValues)
