import { isPromise } from 'node:util/types'
import { OutsideUnitError } from '../errors.ts'
import {
  aFunction,
  anAmount,
  anyOf,
  aString,
  type Check,
  checkArgument,
  type Checks,
  isFunction,
  oneOf,
} from '../options.ts'
import { isThenable } from '../callbacks.ts'
import type { CancelScope } from './cancel-scope.ts'
import { aPolicy, type Policy } from './policy.ts'
import type { RequestScope } from './request-scope.ts'
import type { OnTaskError, Task } from './task.ts'
import { currentUnit, type Unit } from './unit.ts'

/** Options of `spawn`. */
export interface SpawnOptions {
  /** For logs and reports. Default: the function's name, or `'task'`. */
  name?: string
  /** Which values of the spawner the task sees. Default: that of the group, the route or the plugin, else `inherit`. */
  policy?: Policy
  /**
   * Aborts the task's signal with the request, or with this signal. Default: only the group aborts it; under `share` the
   * request does too, because the task is part of it.
   */
  cancelWith?: 'request' | AbortSignal
  /**
   * `'response'` starts the task when the response of the request is closed; in a unit without a response, when its
   * scope closes. It has the values of the spawn. In a task, and after the close, it starts at once. Default: at once.
   */
  after?: 'response'
  /**
   * Aborts the task's signal after this time, with a `TimeoutError`, in milliseconds. A task that stops because of it has
   * failed with that error. The time begins when the task starts. Default: no limit.
   */
  timeoutMs?: number
  /** Called if the task fails, in the context of the task. Default: the `onError` of the group. */
  onError?: OnTaskError
}

/** A function that becomes a task, or a promise of work that runs already. */
export type SpawnedWork<T> = ((task: Task) => T | PromiseLike<T>) | PromiseLike<T>

/** @throws {TypeError} if `work` is neither a function nor a promise. */
export function checkWork(work: unknown): void {
  if (typeof work !== 'function') checkArgument('spawn', isWork, work)
}

/** The work as a function. */
export function bodyOf<T>(work: SpawnedWork<T>): (task: Task) => T | PromiseLike<T> {
  checkWork(work)
  return typeof work === 'function' ? work : () => work
}

const isWork: Check = anyOf('a function or a promise', (value) => isFunction(value) || isThenable(value))

/** Calls `handle` if a promise of work rejects. A lazy one, such as a query of postgres, starts at its own `then`. */
export function onRejection(work: PromiseLike<unknown>, handle: (reason: unknown) => void): void {
  if (isPromise(work)) void Promise.prototype.then.call(work, undefined, handle)
  else if (work instanceof Promise) work.catch(handle)
}

export const spawnChecks: Checks = {
  name: aString,
  policy: aPolicy,
  cancelWith: anyOf("'request' or an AbortSignal", (value) => value === 'request' || value instanceof AbortSignal),
  after: oneOf('response'),
  timeoutMs: anAmount,
  onError: aFunction,
}

/**
 * Starts `work` at once, concurrently with the caller, as a task of the server's background group, whose close waits for
 * it. A promise that exists already becomes a task too. A failure goes to `onError`, not to the caller. The policy
 * decides which values the task sees:
 *
 * | policy | reads | writes |
 * |---|---|---|
 * | `inherit` | a snapshot | its own |
 * | `{ only }` | a snapshot of these variables | its own |
 * | `{ except }` | a snapshot of the other variables | its own |
 * | `isolate` | variables with `onSpawn: 'keep'` | its own |
 * | `share` | the caller's values | the caller's values |
 *
 * @throws {OutsideUnitError} outside any unit: the task would have no owner.
 * @throws {GroupClosedError} if the group is closed.
 * @throws {GroupFullError} if the group has no slot for the task and rejects it.
 * @throws {TypeError} if `work` is neither a function nor a promise, or an option is unknown or of the wrong type.
 */
export function spawn<T>(work: SpawnedWork<T>, options?: SpawnOptions): Task<T> {
  checkWork(work)
  const unit = currentUnit()
  if (unit === undefined) throw new OutsideUnitError('spawn()')
  return unit.settings.group.spawn(work, options)
}

/** The request that an option `after: 'response'` waits for; undefined if there is nothing to wait for. */
export function responseOf({ after }: SpawnOptions, policy: Policy, unit: Unit | undefined): RequestScope | undefined {
  if (after === undefined) return undefined
  if (policy === 'share') {
    throw new TypeError("spawn: option 'after' expected a policy other than 'share', which is a part of the request.")
  }
  const request = unit?.ownRequest
  return request?.closed === true ? undefined : request
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
