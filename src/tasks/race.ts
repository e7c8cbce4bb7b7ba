import { aString, type Checks, checkOptions } from '../options.ts'
import { checkFunctions } from './gather.ts'
import { ownerHere } from './run-in-scope.ts'
import { type OnGroupFailure, StructuredTaskGroup } from './structured-task-group.ts'
import type { Task } from './task.ts'

export interface RaceOptions {
  /** For errors and reports. Default: `'race'`. */
  name?: string
}

const checks: Checks = { name: aString }

/**
 * Runs functions beside each other, each as a task, until one of them has ended, well or not: that decides. It resolves
 * when the others have ended too, which their signals tell them to do.
 *
 * | | |
 * |---|---|
 * | values | each inherits the caller's |
 * | writes | each one's are its own |
 * | cancellation | the first end aborts the others' signals, and so does what cancels the caller |
 * | failure | the first one's own; a later one goes to `onError`, unless it only says "aborted" |
 *
 * Where the caller's cancellation has cut all off, its reason is thrown.
 *
 * @throws {TypeError} if `fns` is no array of functions, or empty, or for an option that is unknown or of the wrong type.
 */
export async function race<T>(
  fns: readonly ((task: Task) => T | PromiseLike<T>)[],
  options: RaceOptions = {},
): Promise<T> {
  checkFunctions('race', fns)
  if (fns.length === 0) throw new TypeError('race: expected at least one function, got none: nothing could ever end.')
  checkOptions('race', options, checks)
  const { name = 'race' } = options
  const owner = ownerHere()
  let first: { value: T } | { error: unknown } | undefined
  const onFailure: OnGroupFailure = (error, _group, task) => {
    if (first !== undefined && task !== undefined) return owner.report(error, task)
    first = { error }
    return group.cancel(`'${task?.name}' has failed first`, error)
  }
  const group = new StructuredTaskGroup({ name }, onFailure)
  await group.run(() => {
    for (const [index, fn] of fns.entries()) {
      if (group.aborted) return
      const body = async (task: Task) => {
        const value = await fn(task)
        first ??= { value }
        group.cancel(`'${task.name}' has ended first`)
      }
      group.spawn(body, { name: fn.name || `${name} ${index}` })
    }
  })
  if (first === undefined) throw group.cutOffReason
  if ('error' in first) throw first.error
  return first.value
}
