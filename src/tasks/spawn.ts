import { storage } from '../context/storage.ts'
import { OutsideUnitError } from '../errors.ts'
import type { SpawnOptions } from './spawn-options.ts'
import type { Task } from './task.ts'
import { settingsOf } from './unit-settings.ts'

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
  const unit = storage.getStore()?.unit
  if (unit === undefined) throw new OutsideUnitError('spawn()')
  return settingsOf(unit).group.spawn(fn, options)
}
