import { AbandonedError } from '../errors.ts'
import { drain, type UnfinishedTask } from '../tasks/drain.ts'
import type { InFlight, Link } from '../tasks/linked-list.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import type { TaskGroup } from '../tasks/task-group.ts'
import { after } from '../tasks/timer.ts'
import type { CloseReport, UnfinishedRequest } from './close-report.ts'
import type { Connections } from './connections.ts'

/** How long is left after the abort at the limit, and for a connection without a request after the last one. */
const graceMs = 500

export interface ServerDrainOptions {
  group: TaskGroup
  requests: InFlight<Link<RequestScope>>
  connections: Connections
  drainTimeoutMs: number
}

/** The end of a server, once: it waits for requests and tasks, at its limit aborts them, and a grace later cuts off. */
export class ServerDrain {
  readonly #options: ServerDrainOptions
  readonly #limit = Promise.withResolvers<'over'>()
  #startedAt: number | undefined
  #endedBefore = 0
  #disarm: (() => void) | undefined
  #waited: Promise<void> | undefined
  #over = false
  #unfinished: UnfinishedTask[] = []
  #unfinishedRequests: UnfinishedRequest[] = []

  constructor(options: ServerDrainOptions) {
    this.#options = options
  }

  get begun(): boolean {
    return this.#startedAt !== undefined
  }

  /** Ends idle connections, and starts the clock. A second call does nothing. */
  begin(): void {
    if (this.begun) return
    const { group, connections, drainTimeoutMs } = this.#options
    this.#startedAt = performance.now()
    this.#endedBefore = group.endedCount
    this.#disarm = after(drainTimeoutMs, () => this.#limit.resolve('over'))
    connections.endIdle()
  }

  /** Resolves when the server can be closed: nothing is under way, or the time is over and what was left is cut off. */
  wait(): Promise<void> {
    this.begin()
    return (this.#waited ??= this.#wait())
  }

  /** Waits for tasks that were spawned since, closes the group, and says what was left. */
  async finish(): Promise<CloseReport> {
    await this.wait()
    const { group } = this.#options
    const elapsedMs = () => performance.now() - (this.#startedAt ?? 0)
    if (!this.#over) await this.#drainTasks(Math.max(0, this.#options.drainTimeoutMs - elapsedMs()))
    this.#disarm?.()
    group.close()
    const unfinished = this.#unfinished
    const finished = group.endedCount - this.#endedBefore - unfinished.filter(({ ended }) => ended).length
    return { finished, unfinished, unfinishedRequests: this.#unfinishedRequests, elapsedMs: elapsedMs() }
  }

  async #wait(): Promise<void> {
    const { connections } = this.#options
    let over = await this.#quietOrOver()
    if (!over) {
      connections.destroySilent()
      // Some have spoken and have no request that we know: their end is on its way, or there is half a request.
      await within(graceMs, connections.closed())
      over = await this.#quietOrOver()
    }
    if (over) await this.#abandon()
    connections.destroy()
  }

  async #quietOrOver(): Promise<boolean> {
    return (await Promise.race([this.#quiet(), this.#limit.promise])) === 'over'
  }

  /** Resolves when no request is under way and no task is left: a request may spawn, and a task make a request. */
  async #quiet(): Promise<void> {
    const { group, requests, connections } = this.#options
    while (requests.size > 0 || connections.busy || group.tasks.size > 0) {
      await requests.idle()
      await connections.idle()
      if (group.tasks.size > 0) await group.idle()
    }
  }

  async #abandon(): Promise<void> {
    const { group, requests, drainTimeoutMs } = this.#options
    this.#over = true
    const left = requests.items.map(({ item: scope }) => ({ scope, context: scope.context }))
    // First: it notes what is left before it aborts, and a task may end with its request.
    const drained = this.#drainTasks(0)
    // What is spawned from here on would be lost; so its spawner is told.
    group.close()
    const reason = new AbandonedError(group.name, drainTimeoutMs)
    for (const { scope } of left) scope.abort(reason)
    await Promise.all([drained, within(graceMs, this.#quiet())])
    this.#unfinishedRequests = left.map(({ scope, context }) => ({ name: scope.name, context, ended: scope.sealed }))
  }

  async #drainTasks(timeoutMs: number): Promise<void> {
    const { group, drainTimeoutMs } = this.#options
    const { unfinished } = await drain(group, { timeoutMs, graceMs }, drainTimeoutMs)
    this.#unfinished = unfinished
  }
}

async function within(ms: number, promise: Promise<void>): Promise<void> {
  const limit = Promise.withResolvers<void>()
  const disarm = after(ms, limit.resolve)
  await Promise.race([promise, limit.promise])
  disarm()
}
