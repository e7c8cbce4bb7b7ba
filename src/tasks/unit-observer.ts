import { once } from '../context/storage.ts'
import type { RequestScope } from './request-scope.ts'
import type { Task } from './task.ts'

/** Stands around the work of all units of the process: a bridge to a tracer. None of it may throw of its own. */
export interface UnitObserver {
  /** Called when a scope opens, in the contexts of whoever opens it. */
  opened(scope: RequestScope): UnitObservation | undefined
  /** Called when a task is spawned, in the contexts of its spawner. */
  spawned(task: Task): UnitObservation | undefined
}

/** What stands around one unit. */
export interface UnitObservation {
  /** Runs the task's work, or what is run in a scope from outside of it, in the unit's cell. */
  around<R>(work: () => R): R
  /** A framework's own instrumentation has a context for the scope, which may not be the active one. */
  standsIn?(context: unknown): void
  /** Some of the scope's work has failed. */
  failed?(error: unknown): void
  /** The task has not ended by the limit of its group's drain. */
  abandoned?(error: unknown): void
  /** Called once, before the values are dropped. A withdrawn task was never begun. */
  ended(outcome: 'done' | 'failed' | 'withdrawn', error: unknown): void
}

/** One for all copies of the package. */
export const observer: { current: UnitObserver | undefined } = once('unitObserver', () => ({ current: undefined }))
