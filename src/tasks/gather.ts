import { anyOf, aString, type Check, checkArgument, type Checks, checkOptions, isFunction } from '../options.ts'
import { Failures, StructuredTaskGroup } from './structured-task-group.ts'
import type { Task } from './task.ts'

/** Options of `gather`. */
export interface GatherOptions {
  /** How many functions run at a time; the others begin in order. Default: all. */
  concurrency?: number
  /** For errors and reports. Default: `'gather'`. */
  name?: string
}

/** The values of the functions. */
export type Gathered<Fns extends readonly GatherFunction[]> = {
  -readonly [K in keyof Fns]: Awaited<ReturnType<Fns[K]>>
}

type GatherFunction = (task: Task) => unknown

const checks: Checks = {
  concurrency: anyOf('a whole number of at least 1', (value) => Number.isInteger(value) && (value as number) >= 1),
  name: aString,
}

/**
 * Runs functions concurrently, each as a task, and resolves with their values in the same order.
 *
 * | | |
 * |---|---|
 * | values | each inherits the caller's |
 * | writes | each one's are its own |
 * | cancellation | the first failure aborts the signals of the others; so does what cancels the caller. A function that has not begun never begins |
 * | failure | when all that began have ended: the failure, or an `AggregateError` of several; without errors that only report the cancellation |
 *
 * If the caller's cancellation stopped work, its reason is thrown.
 *
 * @throws {TypeError} if `fns` is not an array of functions, or for an option that is unknown or of the wrong type.
 */
export async function gather<const Fns extends readonly GatherFunction[]>(
  fns: Fns,
  options?: GatherOptions,
): Promise<Gathered<Fns>> {
  checkFunctions('gather', fns)
  const { concurrency, name = 'gather' } = checkOptions('gather', options, checks)
  const limits = concurrency === undefined ? {} : { maxConcurrent: concurrency, maxQueued: Infinity }
  const failures = new Failures()
  const group = new StructuredTaskGroup({ name, ...limits }, failures.take)
  const values: unknown[] = Array.from(fns, () => undefined)
  let missing = fns.length
  await group.run(() => {
    for (const [index, fn] of fns.entries()) {
      // The caller is cancelled already, or one of the functions has just caused it.
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
  if (missing > 0) throw group.stopReason
  return values as Gathered<Fns>
}

const functions: Check = anyOf(
  'an array of functions',
  (value) => Array.isArray(value) && value.every((item) => isFunction(item)),
)

/** @throws {TypeError} if `fns` is not an array of functions. */
export function checkFunctions(owner: string, fns: unknown): void {
  checkArgument(owner, functions, fns)
}
