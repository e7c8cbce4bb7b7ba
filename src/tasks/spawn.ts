import { OutsideUnitError } from '../errors.ts'
import { aFunction, anyOf, aString, checkFunction, type Checks } from '../options.ts'
import type { CancelScope } from './cancel-scope.ts'
import { aPolicy, type Policy } from './policy.ts'
import type { OnTaskError, Task } from './task.ts'
import { currentUnit, type Unit } from './unit.ts'

export interface SpawnOptions {
  /** For logs and reports. Default: the function's name, or `'task'`. */
  name?: string
  /** Which values of the spawner the task sees. Default: the policy of the group, the route or the plugin, else `inherit`. */
  policy?: Policy
  /**
   * Aborts the task's signal with the request, or with this signal. Default: only the group aborts it; under `share` the
   * request does too, because the task is part of it.
   */
  cancelWith?: 'request' | AbortSignal
  /** Called if the task fails, in the context of the task. Default: the `onError` of the group. */
  onError?: OnTaskError
}

export const spawnChecks: Checks = {
  name: aString,
  policy: aPolicy,
  cancelWith: anyOf("'request' or an AbortSignal", (value) => value === 'request' || value instanceof AbortSignal),
  onError: aFunction,
}

/**
 * Starts `fn` at once, concurrently with the caller, as a task of the server's background group. The policy decides which
 * values it sees. Its failure goes to `onError`, not to the caller. A server's close waits for it.
 *
 * | policy | reads | writes |
 * |---|---|---|
 * | `inherit` | a snapshot | its own |
 * | `{ only }` | a snapshot of these variables | its own |
 * | `isolate` | variables with `onSpawn: 'keep'` | its own |
 * | `share` | the caller's values | the caller's values |
 *
 * @throws {OutsideUnitError} outside any unit: the task would have no owner.
 * @throws {GroupClosedError} if the group is closed.
 * @throws {GroupFullError} if the group has no slot for the task and rejects it.
 * @throws {TypeError} if `fn` is not a function, or for an option that is unknown or of the wrong type.
 */
export function spawn<T>(fn: (task: Task) => T | PromiseLike<T>, options?: SpawnOptions): Task<T> {
  checkFunction('spawn', fn)
  const unit = currentUnit()
  if (unit === undefined) throw new OutsideUnitError('spawn()')
  return unit.settings.group.spawn(fn, options)
}

/**
 * What cancels a task that is spawned in `unit`, besides its group.
 *
 * @throws {TypeError} for `'request'` without a request.
 */
export function sourceOf(
  { cancelWith }: SpawnOptions,
  policy: Policy,
  unit: Unit | undefined,
): CancelScope | AbortSignal | undefined {
  if (cancelWith instanceof AbortSignal) return cancelWith
  const request = cancelWith === 'request' || policy === 'share' ? unit?.request : undefined
  if (request !== undefined || cancelWith === undefined) return request?.cancelScope
  throw new TypeError(
    "spawn: option 'cancelWith' expected a request to cancel with, got 'request' where there is no request. " +
      'A task passes on a request only if that request cancels the task itself.',
  )
}
