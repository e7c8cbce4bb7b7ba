import { TimeoutError } from '../errors.ts'
import { anAmount, checkOptions, type Checks, show } from '../options.ts'
import { TaskGroup } from '../tasks/task-group.ts'

/** What owns tasks: an app with the plugin, an `Inbound`, a gRPC interceptor, a message context, or a group itself. */
export type TaskOwner =
  | TaskGroup
  | { readonly group: TaskGroup }
  | { readonly requestScopes: { readonly group: TaskGroup } }
  | { readonly inbound: { readonly group: TaskGroup } }

/** Options of `tasksEnded`. */
export interface TasksEndedOptions {
  /** How long to wait, in milliseconds. Default: 5,000. */
  timeoutMs?: number
}

const checks: Checks = { timeoutMs: anAmount }

/**
 * Waits until all tasks of an app have ended, also those that they spawn meanwhile. The app stays open. At the limit the
 * signals of the remaining tasks abort.
 *
 * Rejects with an `AggregateError` of one `LCTX_TIMEOUT` for each task that did not end in time. The failure of a task
 * goes to its `onError`, as always.
 *
 * @throws {TypeError} if `owner` has no task group, or for an option that is unknown or of the wrong type.
 */
export async function tasksEnded(owner: TaskOwner, options?: TasksEndedOptions): Promise<void> {
  const { timeoutMs = 5000 } = checkOptions('tasksEnded', options, checks)
  const unfinished = await unfinishedTasks(groupOf(owner), timeoutMs)
  if (unfinished.length === 0) return
  throw new AggregateError(unfinished, `tasksEnded: ${unfinished.map(({ message }) => message).join('\n')}`)
}

/** Drains a group. Returns an error for each task that did not end in time. */
export async function unfinishedTasks(group: TaskGroup, timeoutMs: number): Promise<TimeoutError[]> {
  const { unfinished } = await group.drain({ timeoutMs })
  return unfinished.map(({ name }) => new TimeoutError(`the task ${name}`, timeoutMs))
}

function groupOf(owner: TaskOwner): TaskGroup {
  const { group, requestScopes, inbound } = Object(owner) as Record<string, { group?: unknown } | undefined>
  const found = [owner, group, requestScopes?.group, inbound?.group].find((known) => known instanceof TaskGroup)
  if (found !== undefined) return found
  throw new TypeError(
    `tasksEnded: expected an app with the plugin logical-context, or another owner of a TaskGroup, got ${show(owner)}.`,
  )
}
