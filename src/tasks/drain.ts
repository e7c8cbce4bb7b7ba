import type { PolicyName } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { AbandonedError } from '../errors.ts'
import { anAmount, type Checks } from '../options.ts'
import { drainEnd, drainStart } from './lifecycle.ts'
import type { Wait } from './linked-list.ts'
import { policyName } from './policy.ts'
import type { Task } from './task.ts'
import type { TaskGroup } from './task-group.ts'
import { after } from './timer.ts'

/** Options of a drain. */
export interface DrainOptions {
  /** How long to wait before the signals of the remaining tasks abort, in milliseconds. Default: 10,000. */
  timeoutMs?: number
  /** How long to wait after that, in milliseconds. Default: 500. */
  graceMs?: number
}

/** A task that had not ended at the limit of a drain. */
export interface UnfinishedTask {
  id: number
  name: string
  policy: PolicyName | 'share'
  /** Its values at the limit. */
  context: LogicalContext
  /** False for a task that was still deferred: it was withdrawn, and none of it ran. */
  began: boolean
  /** Whether it ended after its signal aborted. False if it still runs. */
  ended: boolean
}

/** What a drain finished, and what it left. */
export interface DrainReport {
  /** How many tasks ended during the drain, before its limit. */
  finished: number
  /** The tasks that had not ended at the limit. */
  unfinished: UnfinishedTask[]
  elapsedMs: number
}

export const drainChecks: Checks = { timeoutMs: anAmount, graceMs: anAmount }

/** `limitMs` is the limit in the reason of the abort: a worker waited before, and not only for tasks. */
export async function drain(
  group: TaskGroup,
  { timeoutMs = 10_000, graceMs = 500 }: DrainOptions,
  limitMs: number = timeoutMs,
): Promise<DrainReport> {
  if (drainStart.hasSubscribers) drainStart.publish({ group, timeoutMs })
  const report = await drainTasks(group, { timeoutMs, graceMs }, limitMs)
  if (drainEnd.hasSubscribers) {
    drainEnd.publish({ group, timeoutMs, elapsedMs: report.elapsedMs, reachedLimit: report.unfinished.length > 0 })
  }
  return report
}

/** The same without events: a part of a server's close. */
export async function drainTasks(
  group: TaskGroup,
  { timeoutMs, graceMs }: Required<DrainOptions>,
  limitMs: number,
): Promise<DrainReport> {
  const startedAt = performance.now()
  const endedBefore = group.endedCount
  const wait = group.wait()
  // Without a time to wait, the remaining tasks are recorded and aborted before any other code runs.
  const isQuiet = timeoutMs === 0 ? wait.size === 0 : await isIdleWithin(wait, timeoutMs)
  const finished = group.endedCount - endedBefore
  const left = new Map<Task, Sight>()
  // A quiet group is drained: a task that is spawned a moment later is not aborted.
  if (!isQuiet) {
    const reason = new AbandonedError(group.name, limitMs)
    abandon(group, wait.items, left, reason)
    await isIdleWithin(wait, graceMs)
    // The tasks that an aborted task has spawned since.
    abandon(group, wait.items, left, reason)
  }
  wait.end()
  return {
    finished,
    unfinished: Array.from(left, ([task, sight]) => ({
      id: task.id,
      name: task.name,
      policy: policyName(task.policy),
      ...sight,
      ended: task.hasEnded,
    })),
    elapsedMs: performance.now() - startedAt,
  }
}

type Sight = Pick<UnfinishedTask, 'context' | 'began'>

/** Records the tasks that are not in `left` yet, and aborts them. */
function abandon(group: TaskGroup, tasks: Task[], left: Map<Task, Sight>, reason: AbandonedError): void {
  const newTasks = tasks.filter((task) => !left.has(task))
  for (const task of newTasks) left.set(task, { context: task.context, began: task.began })
  group.abandon(newTasks, reason)
}

/** Resolves with true when there is no task to wait for, or with false when the time is over. */
async function isIdleWithin(wait: Wait<Task>, timeoutMs: number): Promise<boolean> {
  const limit = Promise.withResolvers<'over'>()
  const stop = after(timeoutMs, () => limit.resolve('over'))
  // A task may spawn another one as its last act, so the group can be idle for a moment only.
  while (wait.size > 0) {
    if ((await Promise.race([wait.idle(), limit.promise])) === 'over') return false
  }
  stop()
  return true
}
