import { aString, type Checks, checkOptions } from '../options.ts'
import { checkFunctions } from './gather.ts'
import { ownerHere } from './open-scope.ts'
import { type OnGroupFailure, StructuredTaskGroup } from './structured-task-group.ts'
import type { Task } from './task.ts'

/** Options of `race`. */
export interface RaceOptions {
  /** For errors and reports. Default: `'race'`. */
  name?: string
}

const checks: Checks = { name: aString }

/**
 * Runs functions concurrently, each as a task, until one of them ends: its value or its failure decides. Settles when the
 * others have ended too; their signals abort.
 *
 * | | |
 * |---|---|
 * | values | each inherits the caller's |
 * | writes | each one's are its own |
 * | cancellation | the first end aborts the signals of the others; so does what cancels the caller |
 * | failure | that of the first; a later one goes to `onError`, unless it only reports the cancellation |
 *
 * If the caller's cancellation stopped all of them, its reason is thrown.
 *
 * @throws {TypeError} if `fns` is not an array of functions or is empty, or an option is unknown or of the wrong type.
 */
export async function race<T>(fns: readonly ((task: Task) => T | PromiseLike<T>)[], options?: RaceOptions): Promise<T> {
  checkFunctions('race', fns)
  if (fns.length === 0) throw new TypeError('race: expected at least one function, got none.')
  const { name = 'race' } = checkOptions('race', options, checks)
  const owner = ownerHere()
  let first: { value: T } | { error: unknown } | undefined
  const onFailure: OnGroupFailure = (error, _group, task) => {
    if (first !== undefined && task !== undefined) return owner.report(error, task)
    first = { error }
    return group.cancel(`'${task?.name}' failed first`, error)
  }
  const group = new StructuredTaskGroup({ name }, onFailure)
  await group.run(() => {
    for (const [index, fn] of fns.entries()) {
      if (group.aborted) return
      const body = async (task: Task) => {
        const value = await fn(task)
        first ??= { value }
        group.cancel(`'${task.name}' ended first`)
      }
      group.spawn(body, { name: fn.name || `${name} ${index}` })
    }
  })
  if (first === undefined) throw group.stopReason
  if (Object.hasOwn(first, 'error')) throw (first as { error: unknown }).error
  return (first as { value: T }).value
}
