import { keepShape } from '../callbacks.ts'
import { anyOf, checkArgument, isFunction, show } from '../options.ts'
import { isStarted, start, type Started } from './block.ts'
import { Cell, type CellOwner, type View } from './cell.ts'
import { storage } from './storage.ts'
import { emptyValues, overlay, type Slot, type Values } from './values.ts'

type GeneratorFunction<This, Args extends unknown[], G> = (this: This, ...args: Args) => G
const aGeneratorFunction = anyOf('a generator function', isFunction)

type AnyGenerator = Generator<unknown, unknown, unknown> | AsyncGenerator<unknown, unknown, unknown>

/** A generator that yields and returns promises in place of other thenables. */
export type StartedSteps<G> =
  G extends Generator<infer T, infer R, infer N>
    ? [Started<T>, Started<R>] extends [T, R]
      ? G
      : Generator<Started<T>, Started<R>, N>
    : G

/**
 * Returns `fn`, with its name and length, with a layer for each generator that it makes. What the body sets is never
 * visible outside. The body sees the current values of the code that drives it, except those that it has set itself. Work
 * that a step starts belongs to the driver of that step, also while another request drives the next one. For sync and
 * async generator functions.
 *
 * A lazy thenable, such as a query, that the body yields or returns starts inside, and the driver gets a promise.
 *
 * A value that the body sets in a unit is dropped when all units that drove the generator have ended.
 *
 * @throws {TypeError} if `fn` is not a function; when called, if `fn` does not return a generator.
 * @see {@link https://peps.python.org/pep-0550/#generators PEP 550, Generators}
 */
export function isolateGenerator<This, Args extends unknown[], G extends AnyGenerator>(
  fn: GeneratorFunction<This, Args, G>,
): GeneratorFunction<This, Args, StartedSteps<G>> {
  checkArgument('isolateGenerator', aGeneratorFunction, fn)
  return keepShape(fn, function (this: This, ...args: Args) {
    return layered(fn.apply(this, args)) as StartedSteps<G>
  })
}

/** Replaces the generator's own methods, which `for of`, `yield*` and the iterator helpers all use. */
function layered<G extends AnyGenerator>(generator: G): G {
  if (typeof generator?.next !== 'function') {
    throw new TypeError(
      `isolateGenerator: expected ${aGeneratorFunction.expected}, got one that returns ${show(generator)}.`,
    )
  }
  const layer = new Layer()
  const drive = Symbol.asyncIterator in generator ? inTurn() : atOnce
  for (const name of ['next', 'return', 'throw'] as const) {
    const method = generator[name] as ((...args: unknown[]) => unknown) | undefined
    if (method === undefined) continue
    Object.defineProperty(generator, name, {
      configurable: true,
      writable: true,
      value: (...args: unknown[]) => {
        const driver = storage.getStore()
        return drive(() => storage.run(layer.step(driver), () => startStep(Reflect.apply(method, generator, args))))
      },
    })
  }
  return generator
}

/** Starts a lazy thenable in the result of a step. An async generator has started it. */
function startStep(step: unknown): unknown {
  const { value, done } = (step ?? {}) as Partial<IteratorResult<unknown>>
  return isStarted(value) ? step : { value: start(value), done }
}

function atOnce<R>(step: () => R): R {
  return step()
}

/**
 * Starts a step of an async generator when the previous one has ended. The engine queues steps too, but it starts a
 * queued step in the context of the previous one.
 */
function inTurn(): (step: () => unknown) => Promise<unknown> {
  let last: Promise<void> | undefined
  return async (step) => {
    const before = last
    const turn = Promise.withResolvers<void>()
    last = turn.promise
    try {
      if (before !== undefined) await before
      return await step()
    } finally {
      if (last === turn.promise) last = undefined
      turn.resolve()
    }
  }
}

/**
 * What the body of a generator has set: one cell for each unit that drives it, which is sealed with the unit, and one for
 * steps outside any unit.
 */
class Layer {
  cells: readonly LayerCell[] = []
  #latest: Step | undefined

  /** The cell for a step that the code in `driver` requests. */
  step(driver: View | undefined): View {
    const scope = driver?.scope
    // A body that drives its own generator, also through another one, stays in its step: a chain of steps would grow.
    for (let cell: Cell | undefined = driver?.base; cell instanceof Step; cell = cell.driver) {
      if (cell.layer === this) return cell.scope === scope ? cell : cell.within(scope)
    }
    const latest = this.#latest
    if (latest?.driver === driver?.base && latest?.scope === scope && latest?.sealed === false) return latest
    return (this.#latest = new Step(this, driver))
  }

  /** The cell for what the body sets while `unit` drives it. */
  cellOf(unit: CellOwner | undefined): Cell {
    const known = this.cells.find((candidate) => candidate.unit === unit)
    if (known !== undefined) return known
    const cell = new LayerCell(this, unit)
    unit?.adopt(cell)
    this.cells = [...this.cells, cell]
    return cell
  }

  /** The values of a unit that ends go to another unit that drives the generator; its own steps see only survivors. */
  remove(ended: LayerCell): void {
    const others = this.cells.filter((cell) => cell !== ended)
    this.cells = others
    others.findLast(({ unit }) => unit !== undefined)?.merge(ended.share())
    for (const other of others) ended.merge(other.share())
  }

  /** The value that the body set last, in any unit that has not ended. */
  read(index: number): unknown {
    for (const cell of this.cells) {
      const raw = cell.read(index)
      if (raw !== undefined) return raw
    }
    return undefined
  }
}

class LayerCell extends Cell {
  readonly #layer: Layer

  constructor(layer: Layer, unit: CellOwner | undefined) {
    super(emptyValues, unit)
    this.#layer = layer
  }

  override seal(): void {
    this.#layer.remove(this)
    super.seal()
  }
}

/** The cell of one step: it reads the layer first, then the cell of the driver, and it writes to the layer. */
class Step extends Cell {
  readonly layer: Layer
  readonly driver: Cell | undefined
  readonly #target: Cell

  constructor(layer: Layer, driver: View | undefined) {
    super(emptyValues, driver?.unit, driver?.scope)
    this.layer = layer
    this.driver = driver?.base
    this.#target = layer.cellOf(driver?.unit?.sealed === true ? undefined : driver?.unit)
  }

  /** After the end of its unit a step has only the survivors of that unit. */
  override get sealed(): boolean {
    return this.#target.sealed || this.driver?.sealed === true
  }

  /** Not kept: the values change with those of the driver, without a write. */
  override get memo(): unknown {
    return undefined
  }

  override set memo(_memo: unknown) {}

  override read(index: number): unknown {
    const raw = this.own(index)
    return raw === undefined ? this.driver?.read(index) : raw
  }

  override own(index: number): unknown {
    return this.sealed ? this.#target.read(index) : this.layer.read(index)
  }

  override write(slot: Slot, raw: unknown): void {
    // The last write counts, whichever unit drives it.
    for (const cell of this.layer.cells) {
      if (cell !== this.#target && cell.read(slot.index) !== undefined) cell.write(slot, undefined)
    }
    this.#target.write(slot, raw)
  }

  override share(): Values {
    const cells = this.sealed ? [this.#target] : this.layer.cells
    return cells.reduce((values, cell) => overlay(values, cell.share()), this.driver?.share() ?? emptyValues)
  }
}
