import type { LogicalContext } from '../context/logical-context.ts'
import { root } from '../context/storage.ts'
import { AbandonedError } from '../errors.ts'
import { drain, drainChecks, type DrainOptions, type DrainReport } from '../tasks/drain.ts'
import { messageEnd, type MessageEndEvent, type MessageEvent, messageStart } from '../tasks/lifecycle.ts'
import { InFlight, Link, type Wait } from '../tasks/linked-list.ts'
import { show } from '../options.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import type { TaskGroup } from '../tasks/task-group.ts'
import { after } from '../tasks/timer.ts'
import { callingUnits, type Unit } from '../tasks/unit.ts'
import type { MessageInfo } from '../variables/message.ts'

export { drainChecks as closeChecks }

/** A job whose handler had not settled at the limit of a close. The engine delivers it again. */
export interface UnfinishedJob extends MessageInfo {
  /** What it saw at the limit. */
  context: LogicalContext
  /** Whether its handler settled after its signal had aborted. */
  ended: boolean
}

/** What a close of workers finished, and what it left. */
export interface CloseReport extends DrainReport {
  unfinishedJobs: UnfinishedJob[]
}

/** The limit of a close, in milliseconds. */
const defaultTimeoutMs = 10_000

interface RunningJob {
  readonly scope: RequestScope
  readonly info: MessageInfo
}

/** The attempts that a worker has begun and not ended. */
export class RunningJobs {
  readonly #jobs = new InFlight<Link<RunningJob>>()

  get size(): number {
    return this.#jobs.size
  }

  /** Runs a handler in the unit of its attempt, outside every other context, and closes the unit. */
  async run<R>(event: MessageEvent, handler: (scope: RequestScope) => R | PromiseLike<R>): Promise<R> {
    const { scope, job } = event
    const link = new Link({ scope, info: job })
    this.#jobs.add(link)
    try {
      return await root.runInAsyncScope(() => scope.run(observed<R>, event, handler))
    } finally {
      scope.close()
      this.#jobs.delete(link)
    }
  }

  /**
   * Waits until `stopped` resolves, and then until no attempt and no task is left, without those whose own code waits
   * here. At the limit their signals abort; after the grace it returns whatever they do, and reports them.
   */
  async close(
    group: TaskGroup,
    { timeoutMs = defaultTimeoutMs, graceMs = 500 }: DrainOptions,
    stopped: PromiseLike<unknown>,
  ): Promise<CloseReport> {
    const startedAt = performance.now()
    const leftMs = () => Math.max(0, timeoutMs - (performance.now() - startedAt))
    const wait = this.#wait()
    // The engine may fail to stop, for example without a connection. Its jobs continue.
    const stop = await within(timeoutMs, Promise.allSettled([stopped]))
    const quiet = await isIdleWithin(leftMs(), wait)
    const left = quiet ? [] : wait.items.map(({ item }) => ({ ...item, context: item.scope.context }))
    const reason = new AbandonedError(group.name, timeoutMs)
    for (const { scope } of left) scope.abort(reason)
    const [report] = await Promise.all([
      drain(group, { timeoutMs: leftMs(), graceMs }, timeoutMs),
      quiet || isIdleWithin(graceMs, wait),
    ])
    wait.end()
    group.close()
    for (const result of stop ?? []) if (result.status === 'rejected') throw result.reason
    const unfinishedJobs = left.map(({ info, scope, context }) => ({ ...info, context, ended: scope.closed }))
    return { ...report, unfinishedJobs, elapsedMs: performance.now() - startedAt }
  }

  #wait(): Wait<Link<RunningJob>> {
    const callers = new Set<Unit>(callingUnits())
    return this.#jobs.waitFor(this.#jobs.items.filter(({ item }) => callers.has(item.scope)))
  }
}

async function isIdleWithin(ms: number, wait: Wait<unknown>): Promise<boolean> {
  await within(ms, wait.idle())
  return wait.size === 0
}

/** Waits for a promise at most for a time. Resolves with undefined if it is over. */
export async function within<R>(ms: number, promise: PromiseLike<R>): Promise<R | undefined> {
  const limit = Promise.withResolvers<undefined>()
  const disarm = after(ms, () => limit.resolve(undefined))
  try {
    return await Promise.race([promise, limit.promise])
  } finally {
    disarm()
  }
}

/** Publishes the begin and the end of an attempt. */
async function observed<R>(event: MessageEvent, handler: (scope: RequestScope) => R | PromiseLike<R>): Promise<R> {
  const { scope } = event
  const startedAt = performance.now()
  const end = (outcome: MessageEndEvent['outcome'], error: unknown) => {
    if (!messageEnd.hasSubscribers) return
    messageEnd.publish({ ...event, outcome, error, durationMs: performance.now() - startedAt })
  }
  if (messageStart.hasSubscribers) messageStart.publish(event)
  try {
    const result = await handler(scope)
    end('done', undefined)
    return result
  } catch (error) {
    end(scope.isCancellation(error) ? 'cancelled' : 'failed', error)
    throw error
  }
}

/** How long the engine itself may take to stop: what a close has left of its limit, and a second. */
export function stopMsAfter({ elapsedMs }: CloseReport, { timeoutMs = defaultTimeoutMs }: DrainOptions): number {
  return Math.max(0, timeoutMs - elapsedMs) + 1000
}

/** Whether an attempt stopped because a close aborted it. Its job is left to redelivery. */
export function isAbandoned(scope: RequestScope, error: unknown): boolean {
  return scope.abortReason instanceof AbandonedError && scope.isCancellation(error)
}

/** For engines that report no failure. */
export function printFailedJob(error: unknown, { queue, name, id, attempt }: MessageInfo): void {
  console.error(`logical-context: job '${name}' of '${queue}' failed, id ${id}, attempt ${attempt}: ${show(error)}`)
}
