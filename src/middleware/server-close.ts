import type { ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { LogicalContext } from '../context/logical-context.ts'
import { AbandonedError } from '../errors.ts'
import { drain, type DrainReport, type UnfinishedTask } from '../tasks/drain.ts'
import type { TaskGroup } from '../tasks/task-group.ts'
import { after } from '../tasks/timer.ts'
import { requestId } from '../variables/request-id.ts'
import { Connections } from './connections.ts'
import type { Exchanges } from './exchange.ts'
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

interface DrainAtCloseOptions extends Omit<ServerDrainOptions, 'connections'> {
  onDrained: ((report: CloseReport) => unknown) | undefined
  log: Log
  /** Called when a response of the server has closed. */
  onResponseClosed: (response: ServerResponse) => void
}

/**
 * Makes the server's close wait for requests and tasks, up to a limit.
 *
 * The limit starts in `preClose`. The wait is in `server.close`, which Fastify calls after all `preClose` hooks and
 * before the first `onClose` hook, whatever the order of registration: a `preClose` hook can end a stream, and an
 * `onClose` hook can end a pool that tasks need. A wait in `preClose` would delay the hooks after it, and Fastify's
 * `pluginTimeout` would fail the close.
 */
export function drainAtClose(
  fastify: FastifyInstance,
  { onDrained, log, onResponseClosed, ...options }: DrainAtCloseOptions,
): void {
  const { server } = fastify
  const connections = new Connections(server, onResponseClosed)
  const serverDrain = new ServerDrain({ ...options, connections })
  const { close } = server
  server.close = function closeWhenDrained(callback) {
    // A direct call of `server.close()` does not close the app.
    if (!serverDrain.begun) return close.call(server, callback)
    const closeNow = () => void close.call(server, callback)
    serverDrain.wait().then(closeNow, closeNow)
    return server
  }

  fastify.addHook('preClose', (done) => {
    serverDrain.begin()
    // With a `serverFactory`, Fastify calls this method before our wait.
    if ('closeIdleConnections' in server) server.closeIdleConnections = () => connections.endIdle()
    done()
  })
  fastify.addHook('onClose', async () => {
    const report = await serverDrain.finish()
    logCloseReport(log, report)
    onDrained?.(report)
  })
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

/** How long the drain waits after the abort at the limit, and for a connection without a request, in milliseconds. */
const graceMs = 500

interface ServerDrainOptions {
  group: TaskGroup
  exchanges: Exchanges
  connections: Connections
  drainTimeoutMs: number
}

/**
 * Waits for the requests, the tasks and the connections of a server. At its limit it aborts them; after a grace period
 * it destroys the connections that are left.
 */
class ServerDrain {
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

  /** Ends idle connections and starts the limit. A second call does nothing. */
  begin(): void {
    if (this.begun) return
    const { group, connections, drainTimeoutMs } = this.#options
    this.#startedAt = performance.now()
    this.#endedBefore = group.endedCount
    this.#disarm = after(drainTimeoutMs, () => this.#limit.resolve('over'))
    connections.endIdle()
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
      // The others sent bytes and have no known request: they are closing, or they sent half a request.
      await within(graceMs, connections.closed())
      over = await this.#quietOrOver()
    }
    if (over) await this.#abandon()
    connections.destroy()
  }

  async #quietOrOver(): Promise<boolean> {
    return (await Promise.race([this.#quiet(), this.#limit.promise])) === 'over'
  }

  /** Resolves when no request and no task runs. It looks again: a request can spawn, and a task can send a request. */
  async #quiet(): Promise<void> {
    const { group, exchanges, connections } = this.#options
    while (exchanges.size > 0 || connections.busy || group.inFlight.size > 0) {
      await exchanges.idle()
      await connections.idle()
      if (group.inFlight.size > 0) await group.inFlight.idle()
    }
  }

  async #abandon(): Promise<void> {
    const { group, exchanges, drainTimeoutMs } = this.#options
    this.#over = true
    const left = exchanges.items.map(({ scope }) => ({ scope, context: scope.context }))
    // Before the requests are aborted: a task can end with its request, and would then be missing in the report.
    const drained = this.#drainTasks(0)
    // A task that is spawned from here on would be lost. A closed group throws to the spawner instead.
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
