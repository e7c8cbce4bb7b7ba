import { subscribe } from 'node:diagnostics_channel'
import type { Server, Socket } from 'node:net'
import type { TaskGroup } from '../tasks/task-group.ts'
import { Connections } from './connections.ts'
import { exchangeOf } from './exchange.ts'
import { Exchanges } from './exchanges.ts'
import type { Log } from './log.ts'
import type { NodeRequest, NodeResponse } from './node-requests.ts'
import { type CloseReport, reportDrain, ServerDrain } from './server-drain.ts'
import { unsettledReport } from './unsettled-report.ts'

interface NodeServersOptions {
  group: TaskGroup
  drainTimeoutMs: number
  settleTimeoutMs: number
  onDrained: ((report: CloseReport) => unknown) | undefined
  log: Log
}

/** The servers whose requests one middleware receives. The tasks are drained by the close of the last one. */
export class NodeServers {
  readonly #options: NodeServersOptions
  readonly #onUnsettled: ReturnType<typeof unsettledReport>
  readonly #watched = new Set<WatchedServer>()
  readonly #draining = new Set<Promise<void>>()
  /** Those of requests without a server: of `light-my-request`, for example. */
  #others: Exchanges | undefined

  constructor(options: NodeServersOptions) {
    subscribeOnce()
    this.#options = options
    this.#onUnsettled = unsettledReport(options.log, options.settleTimeoutMs)
  }

  /** Watches the server of a request from its first request on. */
  exchangesOf(request: NodeRequest, response: NodeResponse): Exchanges {
    // The request of a test can have no socket.
    const { server } = (request.socket ?? {}) as { server?: Server }
    if (server === undefined) return (this.#others ??= this.#newExchanges())
    const watched = this.watch(server)
    watched.add(request, response)
    return watched.exchanges
  }

  /** A second call for the same server does nothing. */
  watch(server: Server): WatchedServer {
    for (const watched of this.#watched) if (watched.server === server) return watched
    const watched = new WatchedServer(server, this.#newExchanges(), () => this.#close(watched))
    this.#watched.add(watched)
    // A program, above all its tests, can close a server and then start another one.
    this.#options.group.reopen()
    return watched
  }

  #newExchanges(): Exchanges {
    return new Exchanges(this.#options.settleTimeoutMs, this.#onUnsettled)
  }

  /** Begins the drain of a server. The result resolves at its end. */
  #close(watched: WatchedServer): Promise<void> {
    const { group, drainTimeoutMs, onDrained, log } = this.#options
    const { exchanges, connections } = watched
    // Another server can start meanwhile.
    const isLast = () => [...this.#watched].every(({ isClosing }) => isClosing)
    const drain = new ServerDrain({ group, exchanges, connections, drainTimeoutMs, isLast })
    drain.calledFromHere()
    drain.begin()
    const others = [...this.#draining]
    const drained = (async () => {
      await drain.wait()
      // Their requests spawn in the same group.
      await Promise.all(others)
      const report = await drain.finish()
      await reportDrain(report, log, onDrained).catch(() => {})
    })().then(() => {
      this.#draining.delete(drained)
      this.#watched.delete(watched)
    })
    this.#draining.add(drained)
    return drained
  }
}

/** A server of `node:http2` has no such method. */
interface ClosableServer extends Server {
  closeIdleConnections?(): void
}

/** The connections of servers that no middleware watches yet, because they had no request. */
const early = new WeakMap<Server, Set<Socket>>()
const known = new WeakSet<Server>()
let isSubscribed = false

function subscribeOnce(): void {
  if (isSubscribed) return
  isSubscribed = true
  subscribe('net.server.socket', (message) => {
    const { socket } = message as { socket: Socket & { server?: Server } }
    const { server } = socket
    if (server === undefined || known.has(server)) return
    const sockets = early.get(server) ?? new Set()
    early.set(server, sockets.add(socket))
    socket.once('close', () => sockets.delete(socket))
  })
}

/** A server whose close waits. */
class WatchedServer {
  readonly server: ClosableServer
  readonly exchanges: Exchanges
  readonly connections: Connections
  readonly #drain: () => Promise<void>
  readonly #unwatch: () => void
  readonly #restore: (() => void)[] = []
  #isDrained = false
  /** The arguments of the event `close`, if it was emitted before the end of the drain. */
  #held: unknown[] | undefined
  isClosing = false

  constructor(server: ClosableServer, exchanges: Exchanges, drain: () => Promise<void>) {
    this.server = server
    this.exchanges = exchanges
    this.#drain = drain
    this.connections = new Connections({
      onResponseClosed() {},
      onResponseLost: (response) => exchangeOf(response)?.connectionClosed(),
    })
    this.#unwatch = this.connections.watch(server)
    for (const socket of early.get(server) ?? []) this.connections.addConnection(socket)
    early.delete(server)
    known.add(server)
    const { close, emit } = server
    this.#replace('close', (callback?: (error?: Error) => void) => {
      this.#begin()
      return close.call(server, callback)
    })
    this.#replace('emit', (event: string, ...args: unknown[]) => {
      // Node emits it when the connections have ended. Tasks can still be running.
      if (event !== 'close' || !this.isClosing || this.#isDrained) return emit.call(server, event, ...args)
      this.#held = args
      return true
    })
  }

  add(request: NodeRequest, response: NodeResponse): void {
    this.connections.add(request, response)
    if (this.isClosing && request.httpVersionMajor < 2 && !response.headersSent)
      response.setHeader('connection', 'close')
  }

  #begin(): void {
    if (this.isClosing || !this.server.listening) return
    this.isClosing = true
    const drained = this.#drain()
    // Node's own method, which its close calls, destroys a connection whose reply is complete and not yet sent.
    if ('closeIdleConnections' in this.server) this.#replace('closeIdleConnections', () => this.connections.endIdle())
    void drained.then(() => this.#end())
  }

  #end(): void {
    const { server } = this
    this.#isDrained = true
    for (const restore of this.#restore.toReversed()) restore()
    this.#unwatch()
    known.delete(server)
    if (this.#held !== undefined) server.emit('close', ...this.#held)
  }

  #replace(name: 'close' | 'emit' | 'closeIdleConnections', method: (...args: never[]) => unknown): void {
    const { server } = this
    const before = Object.getOwnPropertyDescriptor(server, name)
    Object.defineProperty(method, 'name', { value: name })
    Object.defineProperty(server, name, { value: method, configurable: true, writable: true })
    this.#restore.push(() => {
      // Other code may have replaced it since. Then ours stays, and calls the original.
      if (Reflect.get(server, name) !== method) return
      if (before === undefined) Reflect.deleteProperty(server, name)
      else Object.defineProperty(server, name, before)
    })
  }
}
