import type { Cell } from '../context/cell.ts'
import { type TimeBound, Unit } from '../context/unit.ts'
import type { Canceller } from './cancel-scope.ts'
import { type Abortable, Cancellation, saysCancelled } from './cancellation.ts'
import { cancellerOf, narrowBlock } from './narrowed-cell.ts'
import type { RequestScope } from './request-scope.ts'
import type { UnitShare } from './ticket.ts'
import type { UnitObservation } from './unit-observer.ts'
import type { UnitSettings } from './unit-settings.ts'

/** What every unit is that is more than its values, a request and a task: it has settings, and can be cancelled. */
export abstract class WorkUnit extends Unit implements Canceller {
  /** @internal */
  abstract readonly settings: UnitSettings
  /** @internal What it is cancelled with, and must not keep longer: undefined for a request, and for most tasks. */
  canceller: Canceller | undefined = undefined
  /** @internal What its tasks have of the groups with limits. */
  shares: UnitShare | undefined = undefined
  /** @internal Who stands around its work, if a bridge does. */
  observation: UnitObservation | undefined = undefined
  #cancellation: Cancellation | undefined

  /**
   * Aborts when the work is to stop: with what it is cancelled with, and for a task at the limit of its group's drain.
   * Costs nothing until it is read.
   */
  get signal(): AbortSignal {
    return this.cancellation.signal
  }

  /** When the signal aborts at the latest, in milliseconds since the epoch. */
  get deadline(): number | undefined {
    return this.canceller?.deadline
  }

  /** @internal The request that it is, or that cancels it. */
  get scope(): RequestScope | undefined {
    return this.canceller?.scope
  }

  /** @internal */
  get shielded(): boolean {
    return this.canceller?.shielded ?? false
  }

  /** @internal The deadline is over: lets whoever has set it abort, and gives the reason. */
  expire(): unknown {
    this.canceller?.expire()
    return this.abortReason
  }

  /** @internal Aborts `target` with this unit, until the function that it returns is called. */
  tie(target: Abortable): () => void {
    return this.cancellation.tie(target)
  }

  /** @internal Whether an error says only that the unit was told to stop. */
  saysCancelled(error: unknown): boolean {
    return this.#cancellation !== undefined && saysCancelled(error, this.#cancellation)
  }

  /** @internal */
  override adopt(block: Cell): void {
    super.adopt(block)
    narrowBlock(block)
  }

  /** @internal */
  override boundOf(cell: Cell): TimeBound | undefined {
    return cancellerOf(cell)
  }

  override late(operation: 'read' | 'write', variable: string): void {
    this.settings.lateUse.seen(operation, variable, this.name)
  }

  /** @internal Why it was told to stop; undefined if it was not. */
  get abortReason(): unknown {
    return this.#cancellation?.reason
  }

  /** @internal */
  protected get aborted(): boolean {
    return this.#cancellation !== undefined && this.#cancellation.aborted
  }

  /** @internal Made when somebody asks. */
  protected get cancellation(): Cancellation {
    return (this.#cancellation ??= new Cancellation())
  }
}
