import { show } from '../options.ts'
import { Cell } from './cell.ts'
import { storage } from './storage.ts'
import { emptyValues } from './values.ts'

type GeneratorFunction<This, Args extends unknown[], G> = (this: This, ...args: Args) => G
type AnyGenerator = Generator<unknown, unknown, unknown> | AsyncGenerator<unknown, unknown, unknown>

/**
 * Gives each generator that `fn` makes a layer of its own: what its body sets is never seen outside, and it sees its
 * driver's current values except where it has set its own. For sync and async generator functions.
 *
 * @throws {TypeError} if `fn` is no function; when called, if `fn` returns no generator.
 * @see {@link https://peps.python.org/pep-0550/#generators PEP 550, Generators}
 */
export function isolateGenerator<This, Args extends unknown[], G extends AnyGenerator>(
  fn: GeneratorFunction<This, Args, G>,
): GeneratorFunction<This, Args, G> {
  if (typeof fn !== 'function') throw new TypeError(`isolateGenerator: expected a generator function, got ${show(fn)}.`)
  return function isolated(this: This, ...args: Args): G {
    return layered(fn.apply(this, args))
  }
}

/**
 * Lets the generator's own methods run in its layer. They stay where they are looked up, so `for of`, `yield*` and the
 * iterator helpers all use them.
 */
function layered<G extends AnyGenerator>(generator: G): G {
  if (typeof generator?.next !== 'function') {
    throw new TypeError(`isolateGenerator: expected a generator function, got one that returns ${show(generator)}.`)
  }
  let layer = new Cell(emptyValues, undefined)
  const drive = Symbol.asyncIterator in generator ? inTurn() : atOnce
  for (const name of ['next', 'return', 'throw'] as const) {
    const method = generator[name] as ((...args: unknown[]) => unknown) | undefined
    if (method === undefined) continue
    Object.defineProperty(generator, name, {
      configurable: true,
      writable: true,
      value: (...args: unknown[]) => {
        const driver = storage.getStore()
        return drive(() => {
          // Its unit has ended and somebody else drives it now.
          if (layer.sealed) layer = new Cell(emptyValues, undefined)
          follow(layer, driver)
          return storage.run(layer, () => Reflect.apply(method, generator, args))
        })
      },
    })
  }
  return generator
}

function atOnce<R>(step: () => R): R {
  return step()
}

/**
 * Lets a step of an async generator begin when the one before has ended. The engine queues steps too, but a body that
 * still runs for one unit would see the values of the next unit that asks.
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

/** Who drives outside any unit: a layer that has a driver is known as a layer, whatever stands around it. */
const nobody = new Cell(emptyValues, undefined)

function follow(layer: Cell, driver: Cell = nobody): void {
  // A body that drives itself, over whatever detour, keeps its driver: a circle would have no end to read at.
  for (let cell: Cell | undefined = driver; cell !== undefined; cell = cell.base.driver) if (cell.base === layer) return
  const { unit } = driver.base
  layer.driver = driver
  layer.memo = undefined
  if (unit !== undefined && unit !== layer.unit) unit.adopt(layer)
  layer.unit = unit
}
