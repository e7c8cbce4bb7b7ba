import type { LogicalContext } from '../context/logical-context.ts'
import { AbandonedError } from '../errors.ts'
import { anAmount, type Checks } from '../options.ts'
import { abortAll } from './cancellation.ts'
import { policyName } from './policy.ts'
import type { TaskGroup } from './task-group.ts'

export interface DrainOptions {
  /** How long to wait for tasks before their signals abort, in milliseconds. Default: 10,000. */
  timeoutMs?: number
  /** How long to wait for them after that, in milliseconds. Default: 500. */
  graceMs?: number
}

/** A task that had not ended at the limit of a drain. */
export interface UnfinishedTask {
  id: number
  name: string
  policy: 'inherit' | 'isolate' | 'share' | 'only'
  /** What it saw at the limit. */
  context: LogicalContext
  /** Whether it has ended after its signal had aborted, or still runs. */
  ended: boolean
}

export interface DrainReport {
  /** How many tasks have ended during the drain, before its limit. */
  finished: number
  /** What was left at the limit. */
  unfinished: UnfinishedTask[]
  elapsedMs: number
}

export const drainChecks: Checks = { timeoutMs: anAmount, graceMs: anAmount }

export async function drain(
  group: TaskGroup,
  { timeoutMs = 10_000, graceMs = 500 }: DrainOptions,
): Promise<DrainReport> {
  const startedAt = performance.now()
  const endedBefore = group.endedCount
  await settled(group, timeoutMs)
  const finished = group.endedCount - endedBefore
  const left = Array.from(group.tasks, (task) => ({ task, context: task.context }))
  if (left.length > 0) {
    abortAll(group.tasks, new AbandonedError(group.name, timeoutMs))
    await settled(group, graceMs)
  }
  return {
    finished,
    unfinished: left.map(({ task, context }) => ({
      id: task.id,
      name: task.name,
      policy: policyName(task.policy),
      context,
      ended: !group.tasks.has(task),
    })),
    elapsedMs: performance.now() - startedAt,
  }
}

/** Resolves when the group has no task, or when the time is over. */
async function settled(group: TaskGroup, timeoutMs: number): Promise<void> {
  if (group.tasks.size === 0) return
  const limit = Promise.withResolvers<'over'>()
  const timer = setTimeout(() => limit.resolve('over'), timeoutMs)
  // A task may spawn another as its last act, so one idle moment is not yet the end.
  while (group.tasks.size > 0) {
    if ((await Promise.race([group.idle(), limit.promise])) === 'over') break
  }
  clearTimeout(timer)
}
