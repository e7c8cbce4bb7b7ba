import { aString, type Checks, checkOptions, show } from '../options.ts'
import { Failures } from './failures.ts'
import { StructuredTaskGroup } from './structured-task-group.ts'
import { limitChecks, type TaskLimits } from './task-limits.ts'

export interface WithTaskGroupOptions extends TaskLimits {
  /** For errors and reports. Default: the body's name, or `'withTaskGroup'`. */
  name?: string
}

const checks: Checks = { name: aString, ...limitChecks }

/**
 * Runs `body` with a group for tasks that end before this call does. They may spawn more tasks into it; after its end
 * that throws. Resolves with the body's value.
 *
 * | | |
 * |---|---|
 * | values | each task inherits; the body shares the caller's |
 * | writes | a task's are its own; the body's are seen by the caller |
 * | cancellation | the first failure aborts `group.signal` and all tasks' signals, and so does what cancels the caller |
 * | failure | when all have ended, one `AggregateError` with every failure, but without those that only say "aborted" |
 *
 * A task with an `onError` of its own fails alone. Where the caller's cancellation has cut work off, its reason is
 * thrown.
 *
 * @throws {AggregateError} if a task or the body has failed.
 * @throws {TypeError} if `body` is no function, or for an option that is unknown or of the wrong type.
 */
export async function withTaskGroup<T>(
  body: (group: StructuredTaskGroup) => T | PromiseLike<T>,
  options: WithTaskGroupOptions = {},
): Promise<T> {
  if (typeof body !== 'function') throw new TypeError(`withTaskGroup: expected a function, got ${show(body)}.`)
  checkOptions('withTaskGroup', options, checks)
  const { name = body.name || 'withTaskGroup', ...limits } = options
  const failures = new Failures()
  const group = new StructuredTaskGroup({ name, ...limits }, failures.take)
  const value = await group.run(() => body(group))
  if (failures.errors.length > 0) throw failures.in(name)
  if (group.aborted && group.cutOff !== undefined) throw group.cutOffReason
  return value as T
}
