import type { BodyAct, Step } from './program.ts'
import type { Sight } from './variables.ts'

/** Receives each event of the package when it happens. */
export interface Witness {
  act(step: Step, outcome: unknown): void
  sees(flow: number, sight: Sight): void
  /** A generator's body begins a step for a flow. */
  drives(generator: number, flow: number): void
  actsInBody(generator: number, body: BodyAct, outcome: unknown): void
  takesJob(worker: number): void
  /** A call with a limit that is over at once is over; `flow` lives in it. */
  returns(flow: number, outcome: unknown): void
  unitEnds(flow: number): void
}
