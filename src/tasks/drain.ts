import type { LogicalContext } from '../context/logical-context.ts'
import { AbandonedError } from '../errors.ts'
import { anAmount, type Checks } from '../options.ts'
import { policyName } from './policy.ts'
import type { Task } from './task.ts'
import type { TaskGroup } from './task-group.ts'
import { after } from './timer.ts'

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
  /** False for a task that waited for a place in its group until then: it was withdrawn, and none of it has run. */
  began: boolean
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

/** `limitMs` is what the tasks are told: a server has waited before, and for more than tasks. */
export async function drain(
  group: TaskGroup,
  { timeoutMs = 10_000, graceMs = 500 }: DrainOptions,
  limitMs: number = timeoutMs,
): Promise<DrainReport> {
  const startedAt = performance.now()
  const endedBefore = group.endedCount
  // Without a time to wait for, what is left is noted, and told, before anything else can happen.
  const quiet = timeoutMs === 0 ? group.tasks.size === 0 : await settled(group, timeoutMs)
  const finished = group.endedCount - endedBefore
  const left = new Map<Task, Sight>()
  // Once it is quiet, the drain is over: what is spawned a moment later has its whole time before it.
  if (!quiet) {
    const reason = new AbandonedError(group.name, limitMs)
    abandon(group, left, reason)
    await settled(group, graceMs)
    // What a task has begun when it was told to stop.
    abandon(group, left, reason)
  }
  return {
    finished,
    unfinished: Array.from(left, ([task, sight]) => ({
      id: task.id,
      name: task.name,
      policy: policyName(task.policy),
      ...sight,
      ended: !group.tasks.has(task),
    })),
    elapsedMs: performance.now() - startedAt,
  }
}

type Sight = Pick<UnfinishedTask, 'context' | 'began'>

/** Aborts the tasks that are not in `left` yet, and puts them there as they are before. */
function abandon(group: TaskGroup, left: Map<Task, Sight>, reason: AbandonedError): void {
  const tasks = Array.from(group.tasks).filter((task) => !left.has(task))
  for (const task of tasks) left.set(task, { context: task.context, began: task.began })
  group.abandon(tasks, reason)
}

/** Resolves with true when the group has no task, or with false when the time is over. */
async function settled(group: TaskGroup, timeoutMs: number): Promise<boolean> {
  const limit = Promise.withResolvers<'over'>()
  const disarm = after(timeoutMs, () => limit.resolve('over'))
  // A task may spawn another as its last act, so one idle moment is not yet the end.
  while (group.tasks.size > 0) {
    if ((await Promise.race([group.idle(), limit.promise])) === 'over') return false
  }
  disarm()
  return true
}
