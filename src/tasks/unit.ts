import { inspect } from 'node:util'
import type { UnitObservation } from '../context/bridge.ts'
import { Blocks, type Cell, type CellOwner, currentCell } from '../context/cell.ts'
import { CancelScope } from './cancel-scope.ts'
import type { LateUseWatch } from './late-use.ts'
import type { Policy } from './policy.ts'
import type { RequestScope } from './request-scope.ts'
import type { TaskGroup } from './task-group.ts'
import type { UnitShare } from './task-limits.ts'

/** What a unit is told when it opens and passes on to the tasks spawned in it. It holds nothing of the request. */
export interface UnitSettings {
  /** The group that owns what the unit spawns. */
  readonly group: TaskGroup
  /** The route's policy, or the plugin's: below a spawn's own and its group's. */
  readonly policy: Policy | undefined
  readonly lateUse: LateUseWatch
}

/** A piece of work that values belong to, and that ends: a request, a task. */
export abstract class Unit implements CellOwner {
  abstract readonly name: string
  /** @internal */
  abstract readonly settings: UnitSettings
  /** @internal Where its work runs: its own cell, or for a task that shares its spawner's that one. */
  abstract readonly cell: Cell | undefined
  /** @internal The number of the request that it is or was spawned in, 0 if there is none. It keeps no request alive. */
  abstract readonly origin: number
  /** @internal What its tasks have of the groups with limits. */
  shares: UnitShare | undefined = undefined
  /** @internal Who stands around its work, if a bridge does. */
  observation: UnitObservation | undefined = undefined
  #blocks: Blocks | undefined
  #cancelScope: CancelScope | undefined

  /**
   * Aborts when the work is to stop: with what it is cancelled with, and for a task at the limit of its group's drain.
   * Costs nothing until it is read.
   */
  get signal(): AbortSignal {
    return this.cancelScope.signal
  }

  /** When the signal aborts at the latest, in milliseconds since the epoch. */
  get deadline(): number | undefined {
    return this.#cancelScope?.deadline
  }

  /** @internal Made when somebody asks: most units are never cancelled. */
  get cancelScope(): CancelScope {
    return (this.#cancelScope ??= new CancelScope(undefined, { owner: this }))
  }

  /** @internal */
  expire(): unknown {
    return this.cancelScope.expire()
  }

  /** @internal The request that it is. */
  get ownRequest(): RequestScope | undefined {
    return undefined
  }

  /** @internal The request that it is, or that cancels it. */
  get request(): RequestScope | undefined {
    return this.#cancelScope?.request
  }

  /** @internal Why it was told to stop; undefined if it was not. */
  get abortReason(): unknown {
    return this.#cancelScope?.reason
  }

  /** @internal Whether an error says only that the unit was told to stop. */
  isCancellation(error: unknown): boolean {
    return this.#cancelScope !== undefined && this.#cancelScope.isCancellation(error)
  }

  /** @internal Called by its cancel scope when that has been aborted. */
  cancelled(): void {}

  /** @internal */
  adopt(block: Cell): void {
    if (!this.sealed) (this.#blocks ??= new Blocks()).add(block)
  }

  /** @internal */
  late(operation: 'read' | 'write', variable: string): void {
    this.settings.lateUse.seen(operation, variable, this.name)
  }

  get sealed(): boolean {
    return this.cell?.sealed === true
  }

  toString(): string {
    return `${this.constructor.name}(${this.name})`
  }

  toJSON(): string {
    return this.toString()
  }

  /** What `console.log` shows: never the values, of which some are sensitive. */
  [inspect.custom](): string {
    return this.toString()
  }

  protected get aborted(): boolean {
    return this.#cancelScope !== undefined && this.#cancelScope.aborted
  }

  /** Seals what is its own; a cell that it shares is its spawner's to seal. */
  protected seal(): void {
    if (this.cell?.unit !== this) return
    this.cell.seal()
    // A generator's layer goes over to whoever drives it.
    for (const block of this.#blocks?.all ?? []) if (block.unit === this) block.seal()
    this.#blocks = undefined
  }

  protected endCancelScope(): void {
    this.#cancelScope?.end()
  }

  /** For a task: it may be kept long after its end, and must not keep what has cancelled it. */
  protected leaveCancelScope(): void {
    this.#cancelScope?.leave()
  }
}

/** The unit of the current code: the only place where a cell's owner is known as a unit. */
export function currentUnit(): Unit | undefined {
  return currentCell()?.unit as Unit | undefined
}
