import { OutsideUnitError } from '../errors.ts'
import { aBoolean, anyOf, anything, type Checks, checkOptions, isFunction, show } from '../options.ts'
import { type Cell, currentCell, openBlock } from './cell.ts'
import { shareClass } from './shared-class.ts'
import { sensitiveVariables, storage, variableNames } from './storage.ts'
import { decode, deletedValue, emptyValues, encode, firstIndex, isPresent, read } from './values.ts'

/** A variable of any type, for lists of variables. */
export type AnyContextVar = ContextVar<unknown, unknown>

/** The way a value goes into a spawned task. Under `share` nothing crosses: the task is in the spawner's own cell. */
export type PolicyName = 'inherit' | 'only' | 'isolate'

/** What a spawned task sees of one variable, whatever its policy. */
export type SpawnRule<T> = 'keep' | 'drop' | ((value: T, crossing: PolicyName) => T)

export interface ContextVarOptions<T, D = undefined> {
  /** What `get()` gives where nothing is set. Default: `undefined`. */
  default?: D
  /**
   * What a spawned task sees, above every policy: `'keep'` also survives `isolate`, `'drop'` never crosses, a function
   * gives the task's value. Default: the task's policy decides.
   */
  onSpawn?: SpawnRule<T>
  /** Whether the value can still be read after its unit has ended. Default: true with `onSpawn: 'keep'`, else false. */
  survivesSeal?: boolean
  /** A sensitive value never reaches a log line, a header or an envelope. Default: false. */
  sensitive?: boolean
}

/** Optional, unless the type of the default says that there is one. */
type OptionsArgument<T, D> = undefined extends D
  ? [options?: ContextVarOptions<T, D>]
  : [options: ContextVarOptions<T, D> & { default: D }]

const checks: Checks = {
  default: anything,
  onSpawn: anyOf("'keep', 'drop' or a function", (value) => value === 'keep' || value === 'drop' || isFunction(value)),
  survivesSeal: aBoolean,
  sensitive: aBoolean,
}

/**
 * A typed variable that follows the flow of a unit of work: its awaits, callbacks and timers. Two variables with one
 * name are two variables. Make them at the top of a module: each takes a place in every context that is never reused.
 *
 * @typeParam T What may be set; it must be named, as nothing else says it.
 * @typeParam D What `get()` gives where nothing is set; name it when there is a default.
 * @see {@link https://peps.python.org/pep-0567/#contextvars-contextvar PEP 567}
 */
export class ContextVar<T = never, D = undefined> {
  readonly name: string
  readonly default: D
  /** @internal */
  readonly onSpawn: SpawnRule<unknown> | undefined
  readonly survivesSeal: boolean
  readonly sensitive: boolean
  /** @internal */
  readonly index: number
  /** @internal */
  readonly ruled: boolean

  /** @throws {TypeError} if the name is no string or empty, or an option is unknown or of the wrong type. */
  constructor(name: string, ...[options]: OptionsArgument<T, D>) {
    if (typeof name !== 'string' || name === '') {
      throw new TypeError(`ContextVar: expected a name, a string of at least one character, got ${show(name)}.`)
    }
    checkOptions(`ContextVar '${name}'`, options, checks)
    this.name = name
    this.default = options?.default as D
    this.onSpawn = options?.onSpawn as SpawnRule<unknown> | undefined
    this.survivesSeal = options?.survivesSeal ?? options?.onSpawn === 'keep'
    this.sensitive = options?.sensitive ?? false
    this.ruled = this.onSpawn !== undefined || this.survivesSeal
    this.index = firstIndex + variableNames.push(name) - 1
    if (this.sensitive) sensitiveVariables.add(this.index)
  }

  /** The value of the current unit, or the default. After the unit's end: a survivor, or the default. */
  get(): T | D {
    const cell = storage.getStore()
    if (cell === undefined) return this.default
    const raw = cell.values[this.index]
    // Unset or in the tree; or encoded, for which any symbol is taken: one comparison less on the way of all others.
    if (raw === undefined || typeof raw === 'symbol') return this.#getSlowly(cell)
    return raw as T
  }

  /** Whether a value is set; a set `undefined` is a value. */
  has(): boolean {
    const cell = currentCell()
    return cell !== undefined && isPresent(cell.read(this.index))
  }

  /**
   * Sets the value for the rest of the unit: whoever awaits the code that calls this sees it too.
   *
   * @throws {OutsideUnitError} outside any unit.
   * @throws {LateWriteError} after the unit's end, if late use is configured to throw.
   */
  set(value: T): void {
    const cell = this.#writable('set')
    if (cell !== undefined) cell.write(this, encode(value))
  }

  /**
   * Makes `get()` give the default again; says whether there was a value.
   *
   * @throws {OutsideUnitError} outside any unit.
   * @throws {LateWriteError} after the unit's end, if late use is configured to throw.
   */
  delete(): boolean {
    const cell = this.#writable('delete')
    if (cell === undefined) return false
    const present = isPresent(cell.read(this.index))
    cell.write(this, deletedValue)
    return present
  }

  /** Runs `fn` in a block in which this variable has the value. What the block writes does not leave it. */
  run<Args extends unknown[], R>(value: T, fn: (...args: Args) => R, ...args: Args): R {
    const outer = currentCell()
    const block = openBlock(outer?.share() ?? emptyValues, outer?.unit)
    block.write(this, encode(value))
    return storage.run(block, fn, ...args)
  }

  /**
   * Sets the value and gives what it was before back at the end of a `using` declaration's block. It is a `set` like
   * any other in between: code that runs at the same time in the same unit sees it. Use `run` to keep it apart.
   *
   * @throws {OutsideUnitError} outside any unit.
   * @throws {LateWriteError} after the unit's end, if late use is configured to throw.
   */
  override(value: T): Disposable {
    const cell = this.#writable('override')
    // Kept in a block, which the seal reaches too. What the cell itself holds: a generator's layer that has nothing goes
    // back to having nothing.
    let before = cell && openBlock(emptyValues, cell.unit)
    before?.write(this, cell && read(cell.values, this.index))
    cell?.write(this, encode(value))
    return {
      [Symbol.dispose]: () => {
        if (cell !== undefined && before !== undefined && !cell.sealed)
          cell.write(this, read(before.values, this.index))
        before = undefined
      },
    }
  }

  toString(): string {
    return `ContextVar(${this.name})`
  }

  #getSlowly(cell: Cell): T | D {
    const raw = cell.read(this.index)
    if (isPresent(raw)) return decode(raw) as T
    if (cell.sealed) cell.base.unit?.late('read', this.name)
    return this.default
  }

  /** The current cell, or undefined where a late write is only reported. */
  #writable(operation: string): Cell | undefined {
    const cell = currentCell()
    if (cell === undefined) throw new OutsideUnitError(`ContextVar '${this.name}': ${operation}()`)
    if (!cell.sealed) return cell
    cell.unit?.late('write', this.name)
    return undefined
  }
}

shareClass(ContextVar, 'ContextVar')
