import type { Unit } from '../context/unit.ts'
import { aFunction, anyOf, aString, type Checks } from '../options.ts'
import type { Canceller } from './cancel-scope.ts'
import { aPolicy, type Policy } from './policy.ts'
import type { OnTaskError } from './task.ts'
import type { WorkUnit } from './work-unit.ts'

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
 * What a task is cancelled with that is spawned in `unit`, beside its group.
 *
 * @throws {TypeError} if that is to be the request, and there is none.
 */
export function cancellerFor(
  { cancelWith }: SpawnOptions,
  policy: Policy,
  unit: Unit | undefined,
): Canceller | AbortSignal | undefined {
  if (cancelWith instanceof AbortSignal) return cancelWith
  const request = cancelWith === 'request' || policy === 'share' ? (unit as WorkUnit | undefined)?.scope : undefined
  if (request !== undefined || cancelWith === undefined) return request
  throw new TypeError(
    "spawn: option 'cancelWith' is 'request', but there is no request here. " +
      'A task can pass on only a request that it is itself cancelled with.',
  )
}
