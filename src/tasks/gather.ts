import { anyOf, aString, type Check, checkArgument, type Checks, checkOptions, isFunction } from '../options.ts'
import { Failures, StructuredTaskGroup } from './structured-task-group.ts'
import type { Task } from './task.ts'

export interface GatherOptions {
  /** How many run at a time; the others begin in order. Default: all. */
  concurrency?: number
  /** For errors and reports. Default: `'gather'`. */
  name?: string
}

/** What each of the functions gives. */
export type Gathered<Fns extends readonly GatherFunction[]> = {
  -readonly [K in keyof Fns]: Awaited<ReturnType<Fns[K]>>
}

type GatherFunction = (task: Task) => unknown

const checks: Checks = {
  concurrency: anyOf('a whole number of at least 1', (value) => Number.isInteger(value) && (value as number) >= 1),
  name: aString,
}

/**
 * Runs functions beside each other, each as a task, and resolves with their values in the same order.
 *
 * | | |
 * |---|---|
 * | values | each inherits the caller's |
 * | writes | each one's are its own |
 * | cancellation | the first failure aborts the others' signals, and so does what cancels the caller; what has not begun never begins |
 * | failure | when all that have begun have ended: the failure itself if there is one, an `AggregateError` of several; without those that only say "aborted" |
 *
 * Where the caller's cancellation has cut work off, its reason is thrown.
 *
 * @throws {TypeError} if `fns` is no array of functions, or for an option that is unknown or of the wrong type.
 */
export async function gather<const Fns extends readonly GatherFunction[]>(
  fns: Fns,
  options: GatherOptions = {},
): Promise<Gathered<Fns>> {
  checkFunctions('gather', fns)
  checkOptions('gather', options, checks)
  const { concurrency, name = 'gather' } = options
  const limits = concurrency === undefined ? {} : { maxConcurrent: concurrency, maxQueued: Infinity }
  const failures = new Failures()
  const group = new StructuredTaskGroup({ name, ...limits }, failures.take)
  const values: unknown[] = Array.from(fns, () => undefined)
  let missing = fns.length
  await group.run(() => {
    for (const [index, fn] of fns.entries()) {
      // The caller is cancelled already, or has just been by one of them.
      if (group.aborted) return
      const body = async (task: Task) => {
        values[index] = await fn(task)
        missing--
      }
      group.spawn(body, { name: fn.name || `${name} ${index}` })
    }
  })
  const { errors } = failures
  if (errors.length === 1) throw errors[0]
  if (errors.length > 1) throw failures.in(name)
  if (missing > 0) throw group.cutOffReason
  return values as Gathered<Fns>
}

const functions: Check = anyOf(
  'an array of functions',
  (value) => Array.isArray(value) && value.every((item) => isFunction(item)),
)

/** @throws {TypeError} for what is no array of functions. */
export function checkFunctions(owner: string, fns: unknown): void {
  checkArgument(owner, functions, fns)
}
