import type { EventEmitter } from 'node:events'
import { Server } from 'node:net'
import type { Duplex } from 'node:stream'
import { keepShape } from '../callbacks.ts'
import { drain } from '../tasks/drain.ts'
import type { TaskGroup } from '../tasks/task-group.ts'
import { after } from '../tasks/timer.ts'
import { handOver } from './connections.ts'
import type { Inbound } from './inbound.ts'
import type { Log } from './log.ts'
import { type CloseReport, reportDrain } from './server-drain.ts'
import type { WebSocketServerLike } from './websocket.ts'

const { Server: HttpServer } = process.getBuiltinModule('node:http')

interface SocketsCloseOptions {
  inbound: Inbound
  /** Whether the group belongs to this server alone. */
  isOwn: boolean
  drainTimeoutMs: number
  onDrained: ((report: CloseReport) => unknown) | undefined
  log: Log
}

/** How long a client has for its answer to a close frame, in milliseconds. */
const graceMs = 500
/** How often a close looks whether the replies are sent, in milliseconds: `ws` has no event for it. */
const lookMs = 20
/** "Going Away". RFC 6455, section 7.4.1 */
const goingAway = 1001

/** The close of a WebSocket server, or of the HTTP server below it. */
export class SocketsClose {
  #ended: Promise<void> | undefined
  #isOver = false
  readonly #server: WebSocketServerLike
  readonly #options: SocketsCloseOptions
  /** The HTTP servers whose close begins this one. */
  readonly #below = new Set<Server>()
  /** The HTTP server that `ws` created. */
  readonly #ownServer: InstanceType<typeof HttpServer> | undefined
  /** The connections whose upgrade has begun, until they close. */
  readonly #connections = new Set<Duplex>()
  /** The groups of the messages, other than that of the options: of the apps of `@fastify/websocket`. */
  readonly #groups = new Set<TaskGroup>()

  constructor(server: WebSocketServerLike, options: SocketsCloseOptions) {
    this.#server = server
    this.#options = options
    const { _server: below } = server as { _server?: unknown }
    if (below instanceof HttpServer && below !== server.options.server) this.#ownServer = below
    this.#beginAtCloseOf(server)
    this.#beginAtCloseOfBelow(server.options.server)
  }

  get begun(): boolean {
    return this.#ended !== undefined
  }

  /** Called before an upgrade. */
  upgrading(connection: Duplex): void {
    const { server } = connection as { server?: unknown }
    this.#beginAtCloseOfBelow(server)
    // A request of before the close, while the HTTP server waits for others.
    if (this.#isOver && server instanceof Server && !server.listening) connection.destroy()
    else if (this.#isOver) this.#restart()
    this.#connections.add(connection)
    connection.once('close', () => this.#connections.delete(connection))
  }

  /** Called for each connection, with the group of its messages. One of `injectWS` has no socket. */
  opened(connection: Duplex | undefined, group: TaskGroup): void {
    const { inbound } = this.#options
    if (group !== inbound.group) this.#groups.add(group)
    if (connection !== undefined) handOver(connection)
  }

  /** The HTTP server was closed, and started again. */
  #restart(): void {
    this.#isOver = false
    this.#ended = undefined
    this.#options.inbound.group.reopen()
  }

  #beginAtCloseOfBelow(server: unknown): void {
    if (!(server instanceof Server) || server === this.#ownServer || this.#below.has(server)) return
    this.#below.add(server)
    this.#beginAtCloseOf(server)
  }

  #beginAtCloseOf(closable: { close(callback?: (error?: Error) => void): unknown }): void {
    const { close } = closable
    closable.close = keepShape(close, (callback?: (error?: Error) => void) => {
      const ended = (this.#ended ??= this.#end())
      return close.call(closable, (error) => void ended.then(() => callback?.(error)))
    })
  }

  async #end(): Promise<void> {
    const { inbound, isOwn, drainTimeoutMs, onDrained, log } = this.#options
    const limitAt = performance.now() + drainTimeoutMs
    const [report] = await Promise.all([
      drain(inbound.group, { timeoutMs: drainTimeoutMs, graceMs }),
      ...Array.from(this.#groups, (group) => before(limitAt, idle(group))),
    ])
    await this.#closeClients(limitAt)
    for (const connection of this.#connections) connection.destroy()
    this.#ownServer?.closeAllConnections()
    this.#isOver = true
    if (!isOwn) return
    inbound.group.close()
    await reportDrain({ ...report, unfinishedRequests: [] }, log, onDrained).catch(() => {})
  }

  async #closeClients(limitAt: number): Promise<void> {
    const { clients } = this.#server
    const connections: EventEmitter[] = [...this.#connections, ...clients]
    const closed = connections.map((connection) => new Promise<void>((end) => connection.once('close', () => end())))
    for (const client of clients) client.close(goingAway)
    const isSending = () => [...clients].some(({ bufferedAmount }) => bufferedAmount > 0)
    while (isSending() && performance.now() < limitAt) await new Promise<void>((look) => after(lookMs, look))
    await before(performance.now() + graceMs, Promise.all(closed))
    for (const client of clients) client.terminate()
  }
}

/** Resolves when no task is left. */
async function idle(group: TaskGroup): Promise<void> {
  const wait = group.wait()
  while (wait.size > 0) await wait.idle()
  wait.end()
}

/** Resolves with the promise, or at a time of `performance.now()`. */
async function before(at: number, promise: Promise<unknown>): Promise<void> {
  const limit = Promise.withResolvers<void>()
  const disarm = after(at - performance.now(), limit.resolve)
  await Promise.race([promise, limit.promise])
  disarm()
}
