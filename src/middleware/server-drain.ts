import type { LogicalContext } from '../context/logical-context.ts'
import { type AsyncSnapshot, captureSnapshot } from '../context/storage.ts'
import { AbandonedError } from '../errors.ts'
import { type DrainReport, drainTasks, type UnfinishedTask } from '../tasks/drain.ts'
import { drainEnd, drainStart } from '../tasks/lifecycle.ts'
import type { Wait } from '../tasks/linked-list.ts'
import type { Task } from '../tasks/task.ts'
import type { TaskGroup } from '../tasks/task-group.ts'
import { after } from '../tasks/timer.ts'
import { callingUnits } from '../tasks/unit.ts'
import { requestId } from '../variables/request-id.ts'
import type { Connections } from './connections.ts'
import type { Exchange } from './exchange.ts'
import type { Exchanges } from './exchanges.ts'
import type { Log } from './log.ts'

/** A request that had not ended at the limit of the server's close. */
export interface UnfinishedRequest {
  /** The method and the route's pattern. */
  name: string
  /** The values at the limit; the id is `context.get(requestId)`. */
  context: LogicalContext
  /** True if the request ended after its signal aborted, false if its connection was cut. */
  ended: boolean
}

/** The result of a server's close. */
export interface CloseReport extends DrainReport {
  /** The requests that were left at the limit. */
  unfinishedRequests: UnfinishedRequest[]
}

/** How long the drain waits after the abort at the limit, and for a connection without a request, in milliseconds. */
const graceMs = 500

/** The groups whose servers close. */
const closing = new WeakSet<TaskGroup>()

/** Whether the server of a group closes, or has closed. */
export function serverCloses(group: TaskGroup): boolean {
  return closing.has(group)
}

export interface ServerDrainOptions {
  group: TaskGroup
  exchanges: Exchanges
  connections: Connections
  drainTimeoutMs: number
  /** Whether no other server uses the group. Until then its tasks continue, and it stays open. Default: always. */
  isLast?: () => boolean
}

/**
 * Waits for the requests, the tasks and the connections of a server. At its limit it aborts them; after a grace period
 * it destroys the connections that are left.
 */
export class ServerDrain {
  readonly #options: ServerDrainOptions
  readonly #limit = Promise.withResolvers<'over'>()
  /** The requests and the tasks whose code called `close()`. */
  readonly #callers = new Set<Exchange>()
  #requests: Wait<Exchange>
  #tasks: Wait<Task>
  /** The contexts of the calls. */
  readonly #snapshots: AsyncSnapshot[] = []
  #startedAt: number | undefined
  #endedBefore = 0
  #disarm: (() => void) | undefined
  #waited: Promise<void> | undefined
  #over = false
  #unfinished: UnfinishedTask[] = []
  #unfinishedRequests: UnfinishedRequest[] = []

  constructor(options: ServerDrainOptions) {
    this.#options = options
    this.#requests = options.exchanges
    this.#tasks = options.group.inFlight
  }

  /** Called by each `app.close()`. */
  calledFromHere(): void {
    closing.add(this.#options.group)
    if (callingUnits().length === 0) return
    this.#snapshots.push(captureSnapshot())
    this.#noteCallers()
  }

  #noteCallers(): void {
    const units = callingUnits()
    const { group, exchanges } = this.#options
    const callers = exchanges.items.filter(({ scope }) => units.includes(scope))
    for (const caller of callers) this.#callers.add(caller)
    if (callers.length > 0) this.#requests = exchanges.waitFor(callers)
    const tasks = group.wait()
    if (tasks !== group.inFlight) this.#tasks = tasks
  }

  get begun(): boolean {
    return this.#startedAt !== undefined
  }

  /** Ends idle connections and starts the limit. A second call does nothing. */
  begin(): void {
    if (this.begun) return
    const { group, connections, drainTimeoutMs } = this.#options
    this.#startedAt = performance.now()
    this.#endedBefore = group.endedCount
    this.#disarm = after(drainTimeoutMs, () => this.#limit.resolve('over'))
    connections.endIdle()
    if (drainStart.hasSubscribers) drainStart.publish({ group, timeoutMs: drainTimeoutMs })
  }

  /** Resolves when the server can close: when nothing runs, or after the limit and the grace period. */
  wait(): Promise<void> {
    this.begin()
    return (this.#waited ??= this.#wait())
  }

  /** Waits for the tasks that were spawned since, closes the group, and returns the report. */
  async finish(): Promise<CloseReport> {
    await this.wait()
    const { group } = this.#options
    if (!this.#over) await this.#drainTasks(Math.max(0, this.#options.drainTimeoutMs - this.#elapsedMs))
    this.#disarm?.()
    if (this.#isLast) group.close()
    const unfinished = this.#unfinished
    const finished = group.endedCount - this.#endedBefore - unfinished.filter(({ ended }) => ended).length
    return { finished, unfinished, unfinishedRequests: this.#unfinishedRequests, elapsedMs: this.#elapsedMs }
  }

  async #wait(): Promise<void> {
    const { connections } = this.#options
    // A task can call `close()` before another unit begins to wait for its result.
    for (const snapshot of this.#snapshots) snapshot.runInAsyncScope(() => this.#noteCallers())
    let over = await this.#quietOrOver()
    if (!over) {
      connections.destroySilent()
      // The others sent bytes and have no known request: they are closing, or they sent half a request.
      await within(graceMs, connections.closed())
      over = await this.#quietOrOver()
    }
    if (over) await this.#abandon()
    await this.#announceEnd()
    connections.destroy()
  }

  /** The responses that show the close end after this event. */
  async #announceEnd(): Promise<void> {
    const { group, exchanges, connections, drainTimeoutMs } = this.#options
    if (!drainEnd.hasSubscribers) return
    drainEnd.publish({ group, timeoutMs: drainTimeoutMs, elapsedMs: this.#elapsedMs, reachedLimit: this.#over })
    const replied = async () => {
      while (exchanges.exemptReplies > 0) await connections.nextReply()
    }
    if (exchanges.exemptReplies > 0) await within(graceMs, replied())
  }

  get #elapsedMs(): number {
    return performance.now() - (this.#startedAt ?? 0)
  }

  async #quietOrOver(): Promise<boolean> {
    return (await Promise.race([this.#quiet(), this.#limit.promise])) === 'over'
  }

  /** Resolves when no request and no task runs. It looks again: a request can spawn, and a task can send a request. */
  async #quiet(): Promise<void> {
    const { connections } = this.#options
    while (this.#requests.size > 0 || connections.replies > this.#unawaitedReplies || this.#taskCount > 0) {
      if (this.#requests.size > 0) await this.#requests.idle()
      if (connections.replies > this.#unawaitedReplies) await connections.nextReply()
      if (this.#taskCount > 0) await this.#tasks.idle()
    }
    // A handler that does not wait for the close can reply.
    if (connections.replies > 0) await within(graceMs, this.#callersReplied())
  }

  get #isLast(): boolean {
    return this.#options.isLast?.() ?? true
  }

  get #taskCount(): number {
    return this.#isLast ? this.#tasks.size : 0
  }

  get #callersReplies(): number {
    return Array.from(this.#callers).filter(({ responseOpen }) => responseOpen).length
  }

  get #unawaitedReplies(): number {
    return this.#callersReplies + this.#options.exchanges.exemptReplies
  }

  async #callersReplied(): Promise<void> {
    while (this.#callersReplies > 0) await this.#options.connections.nextReply()
  }

  async #abandon(): Promise<void> {
    const { group, drainTimeoutMs } = this.#options
    this.#over = true
    const left = this.#requests.items.map(({ scope }) => ({ scope, context: scope.context }))
    // Before the requests are aborted: a task can end with its request, and would then be missing in the report.
    const drained = this.#drainTasks(0)
    // A task that is spawned from here on would be lost. A closed group throws to the spawner instead.
    if (this.#isLast) group.close()
    const reason = new AbandonedError(group.name, drainTimeoutMs)
    for (const { scope } of left) scope.abort(reason)
    await Promise.all([drained, within(graceMs, this.#quiet())])
    this.#unfinishedRequests = left.map(({ scope, context }) => ({ name: scope.name, context, ended: scope.sealed }))
  }

  async #drainTasks(timeoutMs: number): Promise<void> {
    if (!this.#isLast) return
    const { group, drainTimeoutMs } = this.#options
    const drainGroup = () => drainTasks(group, { timeoutMs, graceMs }, drainTimeoutMs)
    // In the contexts of a caller, a drain does not include it.
    const { unfinished } = await (this.#snapshots[0]?.runInAsyncScope(drainGroup) ?? drainGroup())
    this.#unfinished = unfinished
  }
}

/**
 * Logs the report of a close, and calls `onDrained`. If that fails, this logs the failure and rejects. A promise that
 * `onDrained` returns is awaited for a bounded time; if it rejects later, that is logged.
 */
export async function reportDrain(
  report: CloseReport,
  log: Log,
  onDrained: ((report: CloseReport) => unknown) | undefined,
): Promise<void> {
  logCloseReport(log, report)
  const drained = (async () => {
    await onDrained?.(report)
  })()
  drained.catch((error: unknown) => log.error({ err: error }, "the option 'onDrained' failed"))
  await within(graceMs, drained)
}

function logCloseReport(log: Log, report: CloseReport): void {
  const { finished, unfinished, unfinishedRequests, elapsedMs } = report
  const counts = { finished, unfinished: unfinished.length, unfinished_requests: unfinishedRequests.length }
  log.info({ ...counts, elapsedMs: Math.round(elapsedMs) }, 'server drained')
  for (const { id, name, policy, context, began, ended } of unfinished) {
    const task = { task_name: name, task_id: id, policy, request_id: context.get(requestId), began, ended }
    log.warn(task, `task '${name}' had not finished when the server closed`)
  }
  for (const { name, context, ended } of unfinishedRequests) {
    const request = { request_id: context.get(requestId), ended }
    log.warn(request, `request '${name}' had not finished when the server closed`)
  }
}

async function within(ms: number, promise: Promise<void>): Promise<void> {
  const limit = Promise.withResolvers<void>()
  const disarm = after(ms, limit.resolve)
  await Promise.race([promise, limit.promise])
  disarm()
}
