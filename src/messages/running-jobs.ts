import type { LogicalContext } from '../context/logical-context.ts'
import { AbandonedError } from '../errors.ts'
import { drain, drainChecks, type DrainOptions, type DrainReport } from '../tasks/drain.ts'
import { InFlight, Link } from '../tasks/linked-list.ts'
import { show } from '../options.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import type { TaskGroup } from '../tasks/task-group.ts'
import { after } from '../tasks/timer.ts'
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

interface RunningJob {
  readonly scope: RequestScope
  readonly info: MessageInfo
}

/** The attempts that a worker has begun and not ended. */
export class RunningJobs {
  readonly #jobs = new InFlight<Link<RunningJob>>()

  /** Adds an attempt. Returns the function that removes it. */
  add(scope: RequestScope, info: MessageInfo): () => void {
    const link = new Link({ scope, info })
    this.#jobs.add(link)
    return () => this.#jobs.delete(link)
  }

  /**
   * Waits until no attempt and no task is left. At the limit their signals abort; after the grace it returns whatever
   * they do, and reports them.
   */
  async close(group: TaskGroup, { timeoutMs = 10_000, graceMs = 500 }: DrainOptions): Promise<CloseReport> {
    const startedAt = performance.now()
    const leftMs = () => Math.max(0, timeoutMs - (performance.now() - startedAt))
    const quiet = await this.#idleWithin(timeoutMs)
    const left = quiet ? [] : this.#jobs.items.map(({ item }) => ({ ...item, context: item.scope.context }))
    const reason = new AbandonedError(group.name, timeoutMs)
    for (const { scope } of left) scope.abort(reason)
    const [report] = await Promise.all([
      drain(group, { timeoutMs: leftMs(), graceMs }, timeoutMs),
      quiet || this.#idleWithin(graceMs),
    ])
    group.close()
    const unfinishedJobs = left.map(({ info, scope, context }) => ({ ...info, context, ended: scope.closed }))
    return { ...report, unfinishedJobs, elapsedMs: performance.now() - startedAt }
  }

  async #idleWithin(ms: number): Promise<boolean> {
    const limit = Promise.withResolvers<void>()
    const disarm = after(ms, limit.resolve)
    await Promise.race([this.#jobs.idle(), limit.promise])
    disarm()
    return this.#jobs.size === 0
  }
}

/** For engines that report no failure. */
export function printFailedJob(error: unknown, { queue, name, id, attempt }: MessageInfo): void {
  console.error(`logical-context: job '${name}' of '${queue}' failed, id ${id}, attempt ${attempt}: ${show(error)}`)
}
