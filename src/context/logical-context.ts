import { anyOf, checkArgument, inspectCustom, show } from '../options.ts'
import { type ContextVar, isContextVar } from './context-var.ts'
import { sensitiveVariables, shareClass, variableNames } from './storage.ts'
import {
  copyFor,
  decode,
  deletedValue,
  emptyValues,
  encode,
  entriesOf,
  firstIndex,
  isPresent,
  isValues,
  read,
  type Values,
  write,
} from './values.ts'

const aContextVar = anyOf('a ContextVar', isContextVar)

/**
 * An immutable mapping of variables to values. A reference to one is a snapshot: no later write changes it.
 *
 * Compare values with `get`: the mapping is private, so a deep comparison takes two contexts for equal.
 *
 * @see {@link https://peps.python.org/pep-0550/#introduction PEP 550}
 */
export class LogicalContext {
  /** The context in which no variable is set. */
  static get empty(): LogicalContext {
    return empty
  }

  readonly #values: Values

  /** @internal Use `current()`, or `LogicalContext.empty.with(variable, value)`. */
  constructor(values: Values) {
    if (!isValues(values)) {
      throw new TypeError(
        `LogicalContext: expected the values of a context, got ${show(values)}. ` +
          'Use current(), or LogicalContext.empty.with(variable, value).',
      )
    }
    this.#values = values
  }

  /**
   * Returns the value in this context, or the variable's default.
   *
   * @throws {TypeError} if `variable` is not a `ContextVar`.
   */
  get<T, D>(variable: ContextVar<T, D>): T | D {
    if (!isContextVar(variable)) checkArgument('LogicalContext.get', aContextVar, variable)
    const raw = read(this.#values, variable.index)
    return isPresent(raw) ? (decode(raw) as T) : variable.default
  }

  /**
   * Whether a value is set. A set `undefined` is a value.
   *
   * @throws {TypeError} if `variable` is not a `ContextVar`.
   */
  has<T, D>(variable: ContextVar<T, D>): boolean {
    if (!isContextVar(variable)) checkArgument('LogicalContext.has', aContextVar, variable)
    return isPresent(read(this.#values, variable.index))
  }

  /**
   * Returns this context with one variable set.
   *
   * @throws {TypeError} if `variable` is not a `ContextVar`.
   */
  with<T, D>(variable: ContextVar<T, D>, value: T): LogicalContext {
    if (!isContextVar(variable)) checkArgument('LogicalContext.with', aContextVar, variable)
    return this.#written(variable, encode(value))
  }

  /**
   * Returns this context with one variable unset.
   *
   * @throws {TypeError} if `variable` is not a `ContextVar`.
   */
  without<T, D>(variable: ContextVar<T, D>): LogicalContext {
    if (!isContextVar(variable)) checkArgument('LogicalContext.without', aContextVar, variable)
    return this.has(variable) ? this.#written(variable, deletedValue) : this
  }

  /** @internal A method, because an inspection may call getters; not a private field, which other copies cannot read. */
  toValues(): Values {
    return this.#values
  }

  /** The names of the variables that are set, without their values. */
  toString(): string {
    return `LogicalContext(${Array.from(this.#entries(), ([name]) => name).join(', ')})`
  }

  /** The names too: JSON often goes to a log. */
  toJSON(): string {
    return this.toString()
  }

  /** For `console.log`: names and values, a sensitive value as `[sensitive]`. Never throws. */
  [inspectCustom](): string {
    const entries = Array.from(this.#entries(), ([name, value]) => `${name}: ${value}`)
    return entries.length === 0 ? 'LogicalContext {}' : `LogicalContext { ${entries.join(', ')} }`
  }

  *#entries(): Generator<[name: string, shown: string]> {
    for (const [index, raw] of entriesOf(this.#values)) {
      if (!isPresent(raw)) continue
      const name = variableNames[index - firstIndex] ?? '?'
      yield [name, sensitiveVariables.has(index) ? '[sensitive]' : show(decode(raw))]
    }
  }

  #written<T, D>(variable: ContextVar<T, D>, raw: unknown): LogicalContext {
    return new LogicalContext(write(copyFor(this.#values, variable), variable, raw))
  }
}

shareClass(LogicalContext, 'LogicalContext')

const empty = new LogicalContext(emptyValues)
