import { OutsideUnitError } from '../errors.ts'
import { aFunction, anyOf, aString, type Checks } from '../options.ts'
import type { CancelScope } from './cancel-scope.ts'
import { aPolicy, type Policy } from './policy.ts'
import type { OnTaskError, Task } from './task.ts'
import { currentUnit, type Unit } from './unit.ts'

export interface SpawnOptions {
  /** For logs and reports. Default: the function's name, or `'task'`. */
  name?: string
  /** What the task sees of its spawner. Default: the group's, the route's or the plugin's policy, else `inherit`. */
  policy?: Policy
  /**
   * Aborts the task's signal when the request is aborted, or with this signal. Default: only the group does; a shared
   * task is part of the request and aborts with it.
   */
  cancelWith?: 'request' | AbortSignal
  /** Told of the task's failure, in the task's own context. Default: the group's. */
  onError?: OnTaskError
}

export const spawnChecks: Checks = {
  name: aString,
  policy: aPolicy,
  cancelWith: anyOf("'request' or an AbortSignal", (value) => value === 'request' || value instanceof AbortSignal),
  onError: aFunction,
}

/**
 * Starts `fn` at once, beside the caller, as a task of the server's background group. What it sees of the caller's
 * variables is the policy's business; its failure goes to `onError`, never to the caller, and server close waits for it.
 *
 * | policy | reads | writes |
 * |---|---|---|
 * | `inherit` | a snapshot | its own |
 * | `{ only }` | a snapshot of these | its own |
 * | `isolate` | only `onSpawn: 'keep'` | its own |
 * | `share` | the caller's | the caller's |
 *
 * @throws {OutsideUnitError} outside any unit: nobody would own the task.
 * @throws {GroupClosedError} if the group is closed.
 * @throws {TypeError} if `fn` is no function, or for an option that is unknown or of the wrong type.
 */
export function spawn<T>(fn: (task: Task) => T | PromiseLike<T>, options?: SpawnOptions): Task<T> {
  const unit = currentUnit()
  if (unit === undefined) throw new OutsideUnitError('spawn()')
  return unit.settings.group.spawn(fn, options)
}

/**
 * What a task is cancelled with that is spawned in `unit`, beside its group.
 *
 * @throws {TypeError} if that is to be the request, and there is none.
 */
export function cancellerFor(
  { cancelWith }: SpawnOptions,
  policy: Policy,
  unit: Unit | undefined,
): CancelScope | AbortSignal | undefined {
  if (cancelWith instanceof AbortSignal) return cancelWith
  const request = cancelWith === 'request' || policy === 'share' ? unit?.request : undefined
  if (request !== undefined || cancelWith === undefined) return request?.cancelScope
  throw new TypeError(
    "spawn: option 'cancelWith' is 'request', but there is no request here. " +
      'A task can pass on only a request that it is itself cancelled with.',
  )
}
