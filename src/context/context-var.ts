import { NotSetError, OutsideUnitError } from '../errors.ts'
import {
  aBoolean,
  aFunction,
  anyOf,
  anything,
  aString,
  type Checks,
  checkOptions,
  inspectCustom,
  isFunction,
  show,
} from '../options.ts'
import { openBlock, runBlock, type Started } from './block.ts'
import { type Cell, currentCell, type View } from './cell.ts'
import { nameVariable, sensitiveVariables, shareClass, storage } from './storage.ts'
import { decode, deletedValue, emptyValues, encode, firstIndex, isPresent } from './values.ts'

/** A variable of any type, for lists of variables. */
export type AnyContextVar = ContextVar<unknown, unknown>

/** The policy of a spawned task, in one word. `share` is omitted: under it no value crosses. */
export type PolicyName = 'inherit' | 'only' | 'except' | 'isolate'

/** The value of one variable in a spawned task, under every policy. */
export type SpawnRule<T> = 'keep' | 'drop' | ((value: T, policy: PolicyName) => T)

/** Options of `new ContextVar`. */
export interface ContextVarOptions<T, D = undefined> {
  /** What `get()` returns if no value is set. Default: `undefined`. */
  default?: D
  /**
   * The value in a spawned task, above every policy: `'keep'` also survives `isolate`, `'drop'` never crosses, a function
   * returns the task's value. Default: the task's policy decides.
   */
  onSpawn?: SpawnRule<T>
  /** Whether the value can be read after its unit has ended. Default: true with `onSpawn: 'keep'`, otherwise false. */
  survivesSeal?: boolean
  /** A sensitive value never reaches a log line, a header or a message. Default: false. */
  sensitive?: boolean
}

const checks: Checks = {
  default: anything,
  onSpawn: anyOf("'keep', 'drop' or a function", (value) => value === 'keep' || value === 'drop' || isFunction(value)),
  survivesSeal: aBoolean,
  sensitive: aBoolean,
}

/**
 * A typed variable that follows the async flow of a unit of work: its awaits, callbacks and timers. Two variables with
 * one name are two variables. Create them at the top of a module: each has a place in every context, and no place is
 * used again.
 *
 * @typeParam T The type of the values.
 * @typeParam D The type of the default; `undefined` without one.
 * @see {@link https://peps.python.org/pep-0567/#contextvars-contextvar PEP 567}
 */
export interface ContextVar<T = never, D = undefined> {
  readonly name: string
  readonly default: D
  readonly survivesSeal: boolean
  readonly sensitive: boolean
  /** @internal */
  readonly index: number
  /** @internal */
  readonly onSpawn: SpawnRule<unknown> | undefined
  /** @internal Whether a spawn or the seal treats the variable differently from others. */
  readonly ruled: boolean

  /** Returns the value of the current unit, or the default. After the unit's end: a survivor, or the default. */
  get(): T | D

  /**
   * Returns the value of the current unit, or the default.
   *
   * @throws {NotSetError} if no value is set and the variable has no default.
   * @throws {OutsideUnitError} if it has no default, outside any unit.
   */
  getOrThrow(): T | Exclude<D, undefined>

  /** Whether a value is set. A set `undefined` is a value. */
  has(): boolean

  /**
   * Sets the value for the rest of the unit. Code that awaits the caller sees it too.
   *
   * @throws {OutsideUnitError} outside any unit.
   * @throws {LateWriteError} after the unit's end, if late use is configured to throw.
   */
  set(value: T): void

  /**
   * Removes the value, so that `get()` returns the default. Returns whether a value was set.
   *
   * @throws {OutsideUnitError} outside any unit.
   * @throws {LateWriteError} after the unit's end, if late use is configured to throw.
   */
  delete(): boolean

  /**
   * Runs `fn` in a block in which the variable has the value, and returns its result. Writes in the block do not leave
   * it. A thenable that `fn` returns starts in the block, and `run` returns a promise for it.
   *
   * @throws {TypeError} if `fn` is not a function.
   */
  run<Args extends unknown[], R extends PromiseLike<unknown> | null | undefined>(
    value: T,
    fn: (...args: Args) => R,
    ...args: Args
  ): Started<R>
  run<Args extends unknown[], R>(value: T, fn: (...args: Args) => R, ...args: Args): R

  /**
   * Sets the value, and restores the previous one when the result is disposed, at the end of a `using` block. A second
   * dispose does nothing; nor does a dispose after the unit's end.
   *
   * Until then it is a `set`: concurrent code of the unit sees the value, and of two interleaved overrides the last one
   * to be disposed decides what is left. For a value that grants rights use `run`, which no other code can see:
   *
   *     role.run('admin', () => deleteAccount(id))
   *
   * @throws {OutsideUnitError} outside any unit.
   * @throws {LateWriteError} after the unit's end, if late use is configured to throw.
   */
  override(value: T): Disposable

  toString(): string
}

interface ContextVarConstructor {
  readonly prototype: AnyContextVar
  /** @throws {TypeError} if the name is not a string or empty, or if an option is unknown or of the wrong type. */
  new <T>(name: string, options: ContextVarOptions<T, T> & { default: T }): ContextVar<T, T>
  new <T = never>(name: string, options?: ContextVarOptions<T>): ContextVar<T>
  new <T, D>(name: string, ...options: OptionsArgument<T, D>): ContextVar<T, D>
}

/** Optional, unless the type of the default excludes `undefined`. */
type OptionsArgument<T, D> = undefined extends D
  ? [options?: ContextVarOptions<T, D>]
  : [options: ContextVarOptions<T, D> & { default: D }]

/** Set once, below: private names are visible in the class only. */
let isOwn: (value: object) => boolean

export const ContextVar: ContextVarConstructor = class<T, D> {
  static {
    isOwn = (value) => #name in value
  }

  readonly index: number
  readonly onSpawn: SpawnRule<unknown> | undefined
  readonly ruled: boolean
  readonly #name: string
  readonly #default: D
  readonly #survivesSeal: boolean
  readonly #sensitive: boolean

  constructor(name: string, given?: ContextVarOptions<T, D>) {
    if (!aString.accepts(name)) {
      throw new TypeError(`ContextVar: expected a name, ${aString.expected}, got ${show(name)}.`)
    }
    const options = checkOptions(`ContextVar '${name}'`, given, checks)
    this.#name = name
    this.#default = options.default as D
    this.#survivesSeal = options.survivesSeal ?? options.onSpawn === 'keep'
    this.#sensitive = options.sensitive ?? false
    this.onSpawn = options.onSpawn as SpawnRule<unknown> | undefined
    this.ruled = this.onSpawn !== undefined || this.#survivesSeal
    this.index = firstIndex + nameVariable(name)
    if (this.#sensitive) sensitiveVariables.add(this.index)
  }

  get name(): string {
    return this.#name
  }

  get default(): D {
    return this.#default
  }

  get survivesSeal(): boolean {
    return this.#survivesSeal
  }

  get sensitive(): boolean {
    return this.#sensitive
  }

  get(): T | D {
    const cell = storage.getStore()
    if (cell === undefined) return this.#default
    const raw = cell.near(this.index)
    // Unset, in the tree, or encoded: every symbol takes the slow path, which is one comparison less for other values.
    if (raw === undefined || typeof raw === 'symbol') return this.#getSlowly(cell)
    return raw as T
  }

  getOrThrow(): T | Exclude<D, undefined> {
    const value = this.get()
    if (value !== undefined || this.has()) return value as T | Exclude<D, undefined>
    const cell = currentCell()
    if (cell === undefined) throw new OutsideUnitError(`ContextVar '${this.#name}': getOrThrow()`)
    throw new NotSetError(this.#name, cell.sealed)
  }

  has(): boolean {
    const cell = currentCell()
    return cell !== undefined && isPresent(cell.read(this.index))
  }

  set(value: T): void {
    const cell = this.#writable('set')
    if (cell !== undefined) cell.write(this, encode(value))
  }

  delete(): boolean {
    const cell = this.#writable('delete')
    if (cell === undefined) return false
    const present = isPresent(cell.read(this.index))
    cell.write(this, deletedValue)
    return present
  }

  run<Args extends unknown[], R>(value: T, fn: (...args: Args) => R, ...args: Args): R {
    if (typeof fn !== 'function') throw this.#notFunction(fn)
    const outer = currentCell()
    const block = openBlock(outer?.share() ?? emptyValues, outer?.unit)
    block.write(this, encode(value))
    return runBlock(block, fn, args)
  }

  override(value: T): Disposable {
    const cell = this.#writable('override')
    // A block, so that the seal drops the previous value too. A generator restores only what it has set itself.
    let before = cell && openBlock(emptyValues, cell.unit)
    before?.write(this, cell?.own(this.index))
    cell?.write(this, encode(value))
    return {
      [Symbol.dispose]: () => {
        if (cell !== undefined && before !== undefined && !cell.sealed) cell.write(this, before.own(this.index))
        before = undefined
      },
    }
  }

  toString(): string {
    return `ContextVar(${this.#name})`
  }

  toJSON(): string {
    return this.toString()
  }

  /** Without the default, which may be sensitive. */
  [inspectCustom](): string {
    return this.toString()
  }

  #getSlowly({ base: cell }: View): T | D {
    const raw = cell.read(this.index)
    if (isPresent(raw)) return decode(raw) as T
    if (cell.sealed) cell.unit?.late('read', this.#name)
    return this.#default
  }

  /** The current cell, or undefined if a late write is only reported. */
  #writable(operation: string): Cell | undefined {
    const cell = currentCell()
    if (cell === undefined) throw new OutsideUnitError(`ContextVar '${this.#name}': ${operation}()`)
    if (!cell.sealed) return cell
    cell.unit?.late('write', this.#name)
    return undefined
  }

  /** With swapped arguments the value comes second: a sensitive one is not shown. */
  #notFunction(got: unknown): TypeError {
    const shown = this.#sensitive ? `a value of type ${typeof got}` : show(got)
    return new TypeError(
      `ContextVar '${this.#name}': run() expected ${aFunction.expected} after the value, got ${shown}.`,
    )
  }
}

shareClass(ContextVar, 'ContextVar')

/** `instanceof`, and faster for the variables of this copy of the package. */
export function isContextVar(value: unknown): value is AnyContextVar {
  return typeof value === 'object' && value !== null && (isOwn(value) || value instanceof ContextVar)
}

/** The value in a cell, or the default. Does not report a late read, as `get` does. */
export function peek<T, D>(variable: ContextVar<T, D>, cell: Cell | undefined = currentCell()): T | D {
  const raw = cell?.read(variable.index)
  return isPresent(raw) ? (decode(raw) as T) : variable.default
}
