import type { UnitObservation } from '../context/bridge.ts'
import { Blocks } from '../context/block.ts'
import { type Cell, currentCell, type View } from '../context/cell.ts'
import { processSingleton, storage } from '../context/storage.ts'
import { inspectCustom } from '../options.ts'
import { CancelScope } from './cancel-scope.ts'
import type { LateUseWatch } from './late-use.ts'
import type { Policy } from './policy.ts'
import type { RequestScope } from './request-scope.ts'
import type { TaskGroup } from './task-group.ts'
import type { UnitShare } from './task-limits.ts'

/** What a unit receives when it opens, and passes on to the tasks spawned in it. Holds nothing of the request. */
export interface UnitSettings {
  /** Owns what the unit spawns. */
  readonly group: TaskGroup
  /** The policy of the route or the plugin: below a spawn's own and its group's. */
  readonly policy: Policy | undefined
  readonly lateUse: LateUseWatch
}

/** The number of the last request. Counted in one place for all copies of the package. */
export const origins: { last: number } = processSingleton('origins', () => ({ last: 0 }))

/** A piece of work that values belong to, and that ends: a request or a task. */
export abstract class Unit {
  abstract readonly name: string
  /** @internal */
  abstract readonly settings: UnitSettings
  /** @internal The cell in which its work runs: its own, or that of its spawner under `share`. */
  abstract readonly cell: View | undefined
  /** @internal The number of the request that it is or was spawned in, 0 without one. Keeps no request alive. */
  abstract readonly origin: number
  /** @internal What its tasks use of groups with limits. */
  shares: UnitShare | undefined = undefined
  /** @internal Wraps its work, if a bridge is set up. */
  observation: UnitObservation | undefined = undefined
  #blocks: Blocks | undefined
  /** The scope below which its own one is created. */
  #outer: CancelScope | undefined
  #cancelScope: CancelScope | undefined

  /**
   * Aborts when the work has to stop: with the source that it is cancelled with; for a task also at the limit of its
   * group's drain. Costs nothing until it is read.
   */
  get signal(): AbortSignal {
    return this.cancelScope.signal
  }

  /** The time at which the signal aborts at the latest, in milliseconds since the epoch. */
  get deadline(): number | undefined {
    return this.#scope?.deadline
  }

  /** @internal Created when it is read: most units are never cancelled. */
  get cancelScope(): CancelScope {
    return (this.#cancelScope ??= new CancelScope(this.#outer, { owner: this }))
  }

  /** @internal The unit itself, if it is a request. */
  get ownRequest(): RequestScope | undefined {
    return undefined
  }

  /** @internal The request that it is, or that cancels it. */
  get request(): RequestScope | undefined {
    return this.#scope?.request
  }

  /** @internal Why it was cancelled; undefined if it was not. */
  get abortReason(): unknown {
    return this.#cancelScope?.reason
  }

  /** @internal Whether an error says only that the unit was cancelled. */
  isCancellation(error: unknown): boolean {
    return this.#scope !== undefined && this.cancelScope.isCancellation(error)
  }

  /** @internal The units whose code waits for this one. */
  get callers(): readonly (Unit | undefined)[] {
    return []
  }

  /** @internal Called by its cancel scope after the abort. */
  cancelled(): void {}

  /** @internal */
  adopt(block: Cell): void {
    if (!this.sealed) (this.#blocks ??= new Blocks()).add(block)
  }

  /** @internal */
  late(operation: 'read' | 'write', variable: string): void {
    this.settings.lateUse.report(operation, variable, this.name)
  }

  /** Whether the unit has ended, and its values are dropped. */
  get sealed(): boolean {
    return this.cell?.base.sealed === true
  }

  toString(): string {
    return `${this.constructor.name}(${this.name})`
  }

  toJSON(): string {
    return this.toString()
  }

  /** What `console.log` shows: never the values, because some of them are sensitive. */
  [inspectCustom](): string {
    return this.toString()
  }

  /** @internal */
  protected get aborted(): boolean {
    return this.#scope !== undefined && this.cancelScope.aborted
  }

  /** @internal Aborts the unit with `source`. The first scope also decides about the deadline. */
  cancelWith(source: CancelScope | AbortSignal): void {
    const isFirst = this.#scope === undefined
    if (isFirst && source instanceof CancelScope) this.#outer = source
    else this.cancelScope.cancelWith(source)
  }

  /** @internal Seals the cell if it is the unit's own; a shared cell is sealed with the spawner. */
  protected seal(): void {
    if (this.cell?.unit !== this) return
    this.cell.base.seal()
    for (const block of this.#blocks?.all ?? []) block.seal()
    this.#blocks = undefined
  }

  /** @internal */
  protected endCancelScope(): void {
    this.#cancelScope?.end()
  }

  /** @internal For a task: the program may keep it long after its end, and it must not keep the scope that cancelled it. */
  protected leaveCancelScope(): void {
    // Its signal keeps the reason.
    if (this.#outer?.reason !== undefined) void this.cancelScope.aborted
    this.#outer = undefined
    this.#cancelScope?.leave()
  }

  get #scope(): CancelScope | undefined {
    return this.#cancelScope ?? this.#outer
  }
}

/** The unit of the current code. This is the only place where the owner of a cell is known to be a unit. */
export function currentUnit(): Unit | undefined {
  return currentCell()?.unit as Unit | undefined
}

/** The scope that cancels the current code; undefined outside any unit. */
export function currentCancelScope(): CancelScope | undefined {
  return innerScope() ?? currentUnit()?.cancelScope
}

/**
 * The signal of the current work: of the request or task that the code belongs to, or of the innermost combinator around
 * the code. Undefined outside any unit.
 *
 * Pass it to calls that can be stopped: `fetch(url, { signal: currentSignal() })`.
 */
export function currentSignal(): AbortSignal | undefined {
  return currentCancelScope()?.signal
}

/**
 * The time at which the signal of the current work aborts at the latest, in milliseconds since the epoch: the earliest of
 * the request's deadline and the limits around the code. Undefined if there is neither.
 */
export function currentDeadline(): number | undefined {
  return (innerScope() ?? currentUnit())?.deadline
}

function innerScope(): CancelScope | undefined {
  return (storage.getStore()?.scope as CancelScope | undefined)?.lasting
}

/** The unit whose code this is. A task that shares its spawner's cell is a unit too. */
export function callingUnit(): Unit | undefined {
  return innerScope()?.unit ?? currentUnit()
}

/**
 * The units that wait for the current code: its own, and those that wait for one of these: for the result of a task, for
 * `runInScope` or `scope.run`, or for a call with a structured group.
 */
export function callingUnits(): Unit[] {
  const units = new Set([callingUnit()])
  // A loop over a set includes what it adds.
  for (const unit of units) for (const caller of unit?.callers ?? []) units.add(caller)
  units.delete(undefined)
  return Array.from(units) as Unit[]
}
