import { processSingleton } from './storage.ts'

/** What the doctor observes in rooms below it. */
export interface Watch {
  /** Called with each function that runs in a unit of its own, regardless of its caller. */
  bound(fn: object): void
  /** Called for each line of a context logger that is written outside any unit. */
  lineOutside(): void
}

/** Undefined unless the doctor is on: then nothing else of it is loaded. */
export const watch: { current: Watch | undefined } = processSingleton('watch', () => ({ current: undefined }))
