import type { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Server } from 'node:net'
import type { Duplex } from 'node:stream'
import { root } from '../context/storage.ts'
import { keepShape } from '../callbacks.ts'
import { ClientGoneError } from '../errors.ts'
import { anyOf, type Checks, checkOptions, show } from '../options.ts'
import { aPolicy, type Policy } from '../tasks/policy.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { after } from '../tasks/timer.ts'
import { currentUnit } from '../tasks/unit.ts'
import { exchangeOf } from './exchange.ts'
import { Inbound } from './inbound.ts'
import { containedLog, type Log, stderrLog } from './log.ts'
import { aLogger, type NodeServerOptions } from './node-requests.ts'
import { serverCloses } from './server-drain.ts'
import { serverChecks, serverDefaults } from './server-options.ts'
import { SocketsClose } from './websocket-close.ts'
import { ListenerResults } from './websocket-listeners.ts'

export type { CloseReport } from './server-drain.ts'

/** A WebSocket of the package `ws`. */
export interface WebSocketLike extends EventEmitter {
  readonly bufferedAmount: number
  close(code?: number, reason?: string): void
  terminate(): void
}

/** A `WebSocketServer` of the package `ws`; for `@fastify/websocket` it is `app.websocketServer`. */
export interface WebSocketServerLike extends EventEmitter {
  readonly clients: ReadonlySet<WebSocketLike>
  readonly options: { readonly server?: Server | null | undefined }
  handleUpgrade: (...args: never[]) => void
  close(callback?: (error?: Error) => void): void
}

/** Options for WebSockets: those of the other servers, and what a message is. */
export interface WebSocketOptions extends Omit<NodeServerOptions, 'replyIdHeader'> {
  /**
   * The policy of the messages. Each message is a unit of its own, which begins with the values that the policy lets
   * through from its connection. With `share` it is a part of the connection's unit. Default: `inherit`.
   */
  messagePolicy?: Policy
  /**
   * The property `inbound` of a middleware of the same HTTP server: its options and its task group are used, and its close
   * waits for the messages. Default: a new one.
   */
  inbound?: Inbound
}

const checks: Checks = {
  ...serverChecks,
  messagePolicy: aPolicy,
  logger: aLogger,
  inbound: anyOf('the property `inbound` of a middleware', (value) => value instanceof Inbound),
}

/** For the messages of all connections, among them subscriptions that do not end, and for those of one connection. */
const messageLimits = { maxConcurrent: 100_000, maxQueued: 0, maxPerRequest: 1_000 }

/**
 * Opens units for the connections of a WebSocket server, and for their messages. A listener of `connection`, `close` or
 * `error` runs in the unit of its connection, a listener of `message`, `ping` or `pong` by the option `messagePolicy`.
 * What a listener throws, and a promise that rejects, goes to `onError`.
 *
 * Under `@fastify/websocket` with the Fastify plugin of this package, the unit of a connection is that of its request.
 *
 * The signal of a connection and of its messages aborts when it closes.
 *
 * The server's `close()` waits for the running listeners and their tasks, up to a limit. Messages that arrive meanwhile
 * are dropped. Then the clients are closed with the code 1001.
 *
 * @throws {TypeError} for a server without `clients`, a second call, or an option that is unknown or of the wrong type.
 */
export function logicalContext(server: WebSocketServerLike, options?: WebSocketOptions): { readonly inbound: Inbound } {
  const owner = 'logicalContext'
  const {
    messagePolicy = 'inherit',
    inbound: given,
    drainTimeoutMs = serverDefaults.drainTimeoutMs,
    settleTimeoutMs = serverDefaults.settleTimeoutMs,
    onDrained,
    logger = stderrLog,
    limits,
    ...rest
  }: WebSocketOptions = checkOptions(owner, options, checks)
  const log = containedLog(logger)
  if (typeof server?.emit !== 'function' || !(server.clients instanceof Set)) {
    throw new TypeError(
      `${owner}: expected a WebSocketServer of 'ws' with its option 'clientTracking', got ${show(server)}.`,
    )
  }
  if (registeredKey in server) throw new TypeError(`${owner}: this WebSocketServer is registered already.`)
  Object.defineProperty(server, registeredKey, { value: true })
  const inbound = given ?? new Inbound({ ...rest, limits: { ...messageLimits, ...limits } }, { owner, log })
  const closing = new SocketsClose(server, { inbound, isOwn: given === undefined, drainTimeoutMs, onDrained, log })
  const settings: ConnectionSettings = { inbound, messagePolicy, settleTimeoutMs, log, closing }

  const { emit, handleUpgrade } = server
  // The server binds its own `emit` in its constructor, where no replacement is seen.
  const upgrade = handleUpgrade as (...args: unknown[]) => void
  server.handleUpgrade = keepShape(upgrade, (request: unknown, socket: Duplex, head: unknown, callback: Listener) => {
    closing.upgrading(socket)
    const isOwnEmit = callback.name === `bound ${emit.name}`
    upgrade.call(server, request, socket, head, isOwnEmit ? server.emit.bind(server, 'connection') : callback)
  })
  server.emit = keepShape(emit, function (event: string, ...args: unknown[]): boolean {
    if (event !== 'connection') return emit.call(server, event, ...args)
    const [socket, request] = args as [WebSocketLike, IncomingMessage]
    return new Connection(socket, request, settings).emit(server, event, args, 'share')
  })
  return { inbound }
}

export default logicalContext

const registeredKey: unique symbol = Symbol('logical-context.registered')

interface ConnectionSettings {
  inbound: Inbound
  messagePolicy: Policy
  settleTimeoutMs: number
  log: Log
  closing: SocketsClose
}

type Listener = (this: unknown, ...args: unknown[]) => unknown

/** A socket and the unit of its connection. */
class Connection {
  readonly #scope: RequestScope
  readonly #settings: ConnectionSettings
  readonly #results: ListenerResults
  /** The listeners that contain the failures of others. */
  readonly #contained = new WeakMap<Listener, Listener>()

  constructor(socket: WebSocketLike, request: IncomingMessage, settings: ConnectionSettings) {
    const known = exchangeOf(request)?.scope
    const { closing } = settings
    this.#settings = settings
    this.#results = new ListenerResults(socket)
    // The middleware for Hono opens a unit for the upgrade, and leaves its end to this one.
    this.#scope = known ?? request.requestScope ?? settings.inbound.open('WebSocket', request)
    request.requestScope = this.#scope
    if (known === undefined) this.#scope.begin(() => {})
    const { group } = this.#scope.settings
    closing.opened(request.socket, group)
    const { emit, close } = socket
    if (known !== undefined) {
      socket.close = keepShape(close, (code, reason) => {
        const maybeServers = code === undefined && serverCloses(group) && currentUnit()?.ownRequest !== known
        if (closing.begun || !maybeServers) return close.call(socket, code, reason)
        // @fastify/websocket closes its sockets, then at once its server, before the running messages have ended.
        queueMicrotask(() => closing.begun || close.call(socket))
      })
    }
    socket.emit = keepShape(emit, (event: string, ...args: unknown[]): boolean => {
      if (messageEvents.has(event)) {
        return closing.begun || this.emit(socket, event, args, settings.messagePolicy)
      }
      if (event !== 'close' && event !== 'error') return emit.call(socket, event, ...args)
      const hasListeners = this.emit(socket, event, args, 'share')
      // Without a listener, Node throws the error: a client with a bad frame would end the process.
      if (event === 'error' && !hasListeners) this.#warn(args[0])
      if (event === 'close' && known === undefined) this.#close()
      return hasListeners
    })
  }

  /** Calls the listeners of an event as tasks. */
  emit(emitter: EventEmitter, event: string, args: unknown[], policy: Policy): boolean {
    const listeners = emitter.rawListeners(event) as Listener[]
    for (const listener of listeners) {
      // A closed group accepts no task, and a listener that cleans up must run.
      if (this.#scope.settings.group.closed) this.#callDirectly(listener, emitter, args)
      else this.#containedOf(listener, event, policy).apply(emitter, args)
    }
    return listeners.length > 0
  }

  #callDirectly(listener: Listener, emitter: EventEmitter, args: unknown[]): void {
    const call = async () => this.#results.of(() => listener.apply(emitter, args))
    this.#scope.runInSnapshot(call, undefined).catch((error: unknown) => this.#warn(error))
  }

  #containedOf(listener: Listener, event: string, policy: Policy): Listener {
    const known = this.#contained.get(listener)
    if (known !== undefined) return known
    const scope = this.#scope
    const results = this.#results
    const call: Listener = function (this: unknown, ...args) {
      const result = results.of(() => listener.apply(this, args))
      // It reads the values of the connection, which can close before it has ended.
      return policy === 'share' ? postponeSeal(scope, result) : result
    }
    const name = listener.name.replace(/^bound /, '') || event
    const contained = scope.listener(call, { policy, name, cancelWith: 'request' })
    this.#contained.set(listener, contained)
    return contained
  }

  #warn(error: unknown): void {
    this.#scope.runInSnapshot(() => this.#settings.log.warn({ err: error }, 'a WebSocket failed'), undefined)
  }

  #close(): void {
    const scope = this.#scope
    scope.abort(new ClientGoneError(scope.name))
    // A stream around the socket ends next.
    setImmediate(() => {
      scope.close()
      if (scope.sealed) return
      root.runInAsyncScope(() => after(this.#settings.settleTimeoutMs, () => scope.sealNow(), { ref: false }))
    })
  }
}

/** Postpones the seal until a promise has settled and its failure was reported, which reads the values too. */
function postponeSeal(scope: RequestScope, result: unknown): unknown {
  const settled = scope.postponeSealUntil(result)
  if (!(settled instanceof Promise)) return settled
  scope.retain()
  const release = () => setImmediate(() => scope.release())
  settled.then(release, release)
  return settled
}

const messageEvents: ReadonlySet<string> = new Set(['message', 'ping', 'pong'])
