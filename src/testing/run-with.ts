import { LogicalContext } from '../context/logical-context.ts'
import {
  anAmount,
  anyOf,
  type Check,
  checkArgument,
  checkFunction,
  type Checks,
  checkOptions,
  show,
} from '../options.ts'
import type { LateUse } from '../tasks/late-use.ts'
import { runInScope } from '../tasks/open-scope.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { TaskGroup } from '../tasks/task-group.ts'
import { unfinishedTasks } from './tasks-ended.ts'

/** Options of `runWith`. */
export interface RunWithOptions {
  /** How long to wait for the tasks that `fn` spawns, in milliseconds. Default: 5,000. */
  timeoutMs?: number
}

const checks: Checks = { timeoutMs: anAmount }
const aContext: Check = anyOf('a LogicalContext', (value) => value instanceof LogicalContext)

/**
 * Runs `fn` in a new unit with the given values, waits for all tasks that it spawns, and resolves with its result. The
 * unit has its own task group, so tests do not share tasks.
 *
 * Rejects with the failure of `fn`. Otherwise it rejects with an `AggregateError` if a task failed or did not end in time,
 * or if a variable was read or written after the end of the unit.
 *
 * @throws {TypeError} if an argument is of the wrong type.
 */
export async function runWith<R>(
  values: LogicalContext,
  fn: (scope: RequestScope) => R | PromiseLike<R>,
  options?: RunWithOptions,
): Promise<R> {
  checkArgument('runWith', aContext, values)
  checkFunction('runWith', fn)
  const { timeoutMs = 5000 } = checkOptions('runWith', options, checks)
  const problems: unknown[] = []
  const group = new TaskGroup({ name: 'test', onError: (error) => problems.push(error) })
  let result: R
  try {
    result = await runInScope(async (scope) => fn(scope), {
      name: fn.name || 'test',
      context: values,
      group,
      lateWrites: 'report',
      onLateUse: (use) => problems.push(lateUseError(use)),
    })
  } finally {
    problems.push(...(await unfinishedTasks(group, timeoutMs)))
  }
  if (problems.length === 0) return result
  throw new AggregateError(problems, `runWith: ${problems.map(messageOf).join('\n')}`)
}

function messageOf(problem: unknown): string {
  try {
    if (problem instanceof Error) return problem.message
  } catch {
    // A getter of the value failed.
  }
  return typeof problem === 'string' ? problem : show(problem)
}

function lateUseError({ operation, variable, unit, callSite }: LateUse): Error {
  return new Error(
    `late ${operation} of '${variable}' after the end of its unit '${unit}' ${callSite}: await the work, or spawn it`,
  )
}
