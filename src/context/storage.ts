import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { VersionMismatchError } from '../errors.ts'
import type { View } from './cell.ts'

/** `engines.node` of `package.json`. */
export const supportedNodes = '>=22.22.2 <23 || >=24.14.1 <25 || >=26'
/** Below it, the platform lacks functions that the package calls. Above it, only fixes are missing. */
const oldestMajor = 22

// This module is evaluated before everything that calls a newer function of the platform.
checkNode(process)

/** The version of everything that copies of the package share. Increase it with any change of a shape in this folder. */
const layout = 2
const key: unique symbol = Symbol.for('logical-context.registry') as never

/** What all copies of the package in one process share. */
interface Registry {
  readonly layout: number
  /** One per process: on Node 22 each further AsyncLocalStorage makes every await slower. */
  readonly storage: AsyncLocalStorage<View>
  /** The name of each variable, by its index. */
  readonly names: string[]
  /** The indexes of the sensitive variables. */
  readonly sensitive: Set<number>
  /** The results of `processSingleton`, by name. */
  readonly singletons: Map<string, unknown>
}

const registry = openRegistry(globalThis as { [key]?: Registry })

export const storage: AsyncLocalStorage<View> = registry.storage
export const variableNames: string[] = registry.names
export const sensitiveVariables: Set<number> = registry.sensitive

/** How many variables may be created inside units before a warning: a module can be loaded by a request. */
const maxInsideUnits = 100
let createdInsideUnits = 0

/** Adds a variable to the list of names. Returns its place there. */
export function nameVariable(name: string): number {
  if (storage.getStore() !== undefined && ++createdInsideUnits === maxInsideUnits) {
    process.emitWarning(
      `logical-context: ${maxInsideUnits} variables were created inside units of work, the last of them is '${name}'. ` +
        'Create each ContextVar once, at the top of a module: its place in every context is never free again.',
    )
  }
  return variableNames.push(name) - 1
}

/** Returns `make()` of the copy of the package that calls this first, for all copies. */
export function processSingleton<T>(name: string, make: () => T): T {
  if (!registry.singletons.has(name)) registry.singletons.set(name, make())
  return registry.singletons.get(name) as T
}

/** The variable with the id of the request, once the room of the variables is loaded: for lines about failures. */
export const requestIdSlot: { variable: { get(): string | undefined } | undefined } = processSingleton(
  'requestIdSlot',
  () => ({ variable: undefined }),
)

/** A snapshot of all contexts, including those of other libraries. Its `runInAsyncScope` runs a function in it. */
export type AsyncSnapshot = AsyncResource

/** Cheaper to enter than `storage.run`, which copies a frame on each call. */
export function captureSnapshot(): AsyncSnapshot {
  return new AsyncResource('logical-context')
}

/** Outside every context, including those of other libraries, except for what is active where the package is loaded. */
export const root: AsyncSnapshot = processSingleton('root', () => storage.exit(captureSnapshot))

type Class = abstract new (...args: never[]) => object

/**
 * Makes `instanceof` accept the objects of all copies of the package, each of which has a class of its own. For a
 * subclass `instanceof` is unchanged.
 */
export function shareClass(shared: Class, name: string): void {
  copiesOf(name).add(shared)
  const mark = Symbol.for(`logical-context.${name}`)
  Object.defineProperty(shared.prototype, mark, { value: true })
  Object.defineProperty(shared, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      if (this !== shared) return Function.prototype[Symbol.hasInstance].call(this, value)
      if (typeof value !== 'object' || value === null) return false
      // Faster than `in` for the objects of this copy.
      return Object.getPrototypeOf(value) === shared.prototype || mark in value
    },
  })
}

/** The classes with this name of all copies of the package that are loaded. */
export function copiesOf(name: string): Set<Class> {
  return processSingleton(`copiesOf${name}`, () => new Set())
}

function openRegistry(holder: { [key]?: Registry }): Registry {
  const found = holder[key]
  if (found === undefined) {
    const made: Registry = {
      layout,
      storage: new AsyncLocalStorage(),
      names: [],
      sensitive: new Set(),
      singletons: new Map(),
    }
    Object.defineProperty(holder, key, { value: made })
    return made
  }
  if (found.layout !== layout) throw new VersionMismatchError(layout, found.layout)
  return found
}

/**
 * Says in one sentence that the version of Node is not supported: an error for a version that is too old to work, else a
 * warning on stderr. Bun and Deno are not checked: their number of a Node version is another one's.
 *
 * @throws {Error} if the package cannot work.
 */
export function checkNode({ version, versions }: Pick<NodeJS.Process, 'version' | 'versions'>): void {
  if ('bun' in versions || 'deno' in versions || satisfies(version, supportedNodes)) return
  const sentence = `logical-context supports Node ${supportedNodes}, and this is Node ${version}: install a supported version.`
  if (partsOf(version)[0] < oldestMajor) throw new Error(sentence)
  process.emitWarning(sentence)
}

type Parts = [major: number, minor: number, patch: number]

/** Whether a version is in a range of the form `>=1.2.3 <2 || >=3`. */
function satisfies(version: string, range: string): boolean {
  return range.split('||').some((part) =>
    part
      .trim()
      .split(' ')
      .every((comparator) => {
        const isFloor = comparator.startsWith('>=')
        const [order = 0] = partsOf(version)
          .map((number, place) => number - partsOf(comparator)[place as 0 | 1 | 2])
          .filter((difference) => difference !== 0)
        return isFloor ? order >= 0 : order < 0
      }),
  )
}

/** The numbers of a version, or of a comparator such as `<23`. */
function partsOf(text: string): Parts {
  const [major = 0, minor = 0, patch = 0] = text
    .replace(/^[^\d]+/, '')
    .split(/[.-]/, 3)
    .map(Number)
  return [major, minor, patch]
}
