import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { VersionMismatchError } from '../errors.ts'
import type { Cell } from './cell.ts'

/** The layout of what copies of the package share; it changes with any of the shapes in this folder. */
const layout = 1
const key: unique symbol = Symbol.for('logical-context.registry') as never

/** What all copies of the package in one process share. */
interface Registry {
  readonly layout: number
  /** One per process: on Node 22 every further AsyncLocalStorage makes each await dearer. */
  readonly storage: AsyncLocalStorage<Cell>
  /** The name of each variable, by its index. */
  readonly names: string[]
  /** The indexes of the variables that are shown to nobody. */
  readonly sensitive: Set<number>
  /** What the package itself makes once per process, by name. */
  readonly singletons: Map<string, unknown>
}

const registry = openRegistry(globalThis as { [key]?: Registry })

export const storage: AsyncLocalStorage<Cell> = registry.storage
export const variableNames: string[] = registry.names
export const sensitiveVariables: Set<number> = registry.sensitive

/** `make()` of the copy of the package that asks first, for all copies. */
export function processSingleton<T>(name: string, make: () => T): T {
  if (!registry.singletons.has(name)) registry.singletons.set(name, make())
  return registry.singletons.get(name) as T
}

/** A kept place in all contexts. */
export type AsyncSnapshot = AsyncResource

/** A kept way back into all contexts of the place where it is made; `storage.run` copies a frame on each call. */
export function captureSnapshot(): AsyncSnapshot {
  return new AsyncResource('logical-context')
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

/** The way out of every context, other libraries' too; as far out as the place that loads the package first. */
export const root: AsyncSnapshot = processSingleton('root', () => storage.exit(captureSnapshot))
