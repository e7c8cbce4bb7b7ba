import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Session } from 'node:http2'
import type { Server, Socket } from 'node:net'
import { LinkedList, type Listed } from '../tasks/linked-list.ts'
import { exchangeOf, type ResponseUse } from './exchange.ts'

type Connection = Socket | ServerHttp2Session
type Message = IncomingMessage | Http2ServerRequest
type Response = ServerResponse | Http2ServerResponse

/** How a connection is used. */
class Use implements Listed<Use>, ResponseUse {
  readonly connections: Connections
  readonly connection: Connection
  before: Use | undefined = undefined
  after: Use | undefined = undefined
  /** Whether it has received a request. */
  asked = false
  /** The response to the newest request, until it is sent or lost. */
  newest: Response | undefined = undefined
  /** The earlier responses that are neither sent nor lost: pipelined ones, or those of HTTP/2. */
  earlier: Set<Response> | undefined = undefined

  constructor(connections: Connections, connection: Connection) {
    this.connections = connections
    this.connection = connection
  }

  responseClosed(response: Response): void {
    this.connections.end(this, response)
  }
}

/**
 * A connection, or a response that is neither sent nor lost, with the use of its connection under a symbol. A response
 * that has an exchange has it there.
 */
type Tracked = Record<symbol, Use | undefined>

/** The connections that another close ends: those of WebSockets. */
const handedOver = new WeakSet<object>()

/** Leaves the end of a connection to another close. */
export function handOver(connection: object): void {
  handedOver.add(connection)
  // Of a TLS connection, the raw socket is tracked.
  const { _parent: parent } = connection as { _parent?: object | null }
  if (parent) handedOver.add(parent)
}

/** Whether another close ends it. */
export function isHandedOver(connection: object): boolean {
  return handedOver.has(connection)
}

export interface ConnectionsOptions {
  /** Called when a response that had no exchange at first has closed. */
  onResponseClosed(response: ServerResponse): void
  /** Called for a response whose connection closed and that emitted no `close`: Node 22, pipelined requests. */
  onResponseLost(response: ServerResponse): void
}

/**
 * The connections of an app's servers. It ends each of them without losing a reply. Node's own `closeIdleConnections`
 * destroys a connection whose reply is complete and not yet sent, treats a silent one as busy, and lacks HTTP/2.
 */
export class Connections {
  readonly #options: ConnectionsOptions
  /** A `WeakMap` costs the garbage collector more. */
  readonly #useKey = Symbol('logical-context.use')
  /** One listener for all connections, and one for all responses: closures for each of them cost more than the rest. */
  readonly #onConnectionClose: () => void
  readonly #onResponseClose: () => void
  readonly #open = new LinkedList<Use>()
  #replies = 0
  #nextReply: PromiseWithResolvers<void> | undefined
  #ending = false

  constructor(options: ConnectionsOptions) {
    this.#options = options
    const useKey = this.#useKey
    const open = this.#open
    const end = (use: Use, response: Response) => this.end(use, response)
    const lost = (response: Response & Tracked) => this.#lost(response)
    this.#onConnectionClose = function onConnectionClose(this: Connection & Tracked) {
      const use = this[useKey] as Use
      open.delete(use)
      // Most of them emit `close` before the next turn.
      for (const response of responsesOf(use)) setImmediate(() => lost(response as Response & Tracked))
    }
    this.#onResponseClose = function onResponseClose(this: Response & Tracked) {
      const use = this[useKey]
      this[useKey] = undefined
      if (use !== undefined) end(use, this)
      options.onResponseClosed(this as ServerResponse & Tracked)
    }
  }

  /** Tracks the connections of a server from now on, until the function that it returns is called. */
  watch(server: Server): () => void {
    const connect = (connection: Connection) => void this.#useOf(connection)
    const request = (message: Message, response: Response) => this.add(message, response)
    server.on('connection', connect).on('session', connect).on('request', request)
    return () => void server.off('connection', connect).off('session', connect).off('request', request)
  }

  /** Tracks a connection that was opened before `watch`. */
  addConnection(connection: Connection): void {
    this.#useOf(connection)
  }

  /** Tracks a response, and its connection. A second call does nothing. */
  add(message: Message, response: Response): void {
    this.#begin(connectionOf(message), response)
  }

  /** Ends the connections without a running request now, and the others after their last reply. */
  endIdle(): void {
    this.#ending = true
    for (const use of this.#own) {
      const { connection, asked, newest } = use
      // Sends GOAWAY: the running requests are answered, and the client sends no new ones.
      if (!isSocket(connection)) connection.close()
      else if (responsesOf(use).length > 0) announceEnd(newest)
      else if (asked) connection.destroySoon()
    }
  }

  /** How many responses are neither sent nor lost. */
  get replies(): number {
    return this.#replies
  }

  /** Resolves when the next response is sent or lost. */
  async nextReply(): Promise<void> {
    await (this.#nextReply ??= Promise.withResolvers<void>()).promise
  }

  /** Destroys the sockets that never received a byte: browsers open some in advance. */
  destroySilent(): void {
    for (const { connection } of this.#own) {
      if (isSocket(connection) && connection.bytesRead === 0) connection.destroy()
    }
  }

  /** Resolves when all connections that are open now have closed. */
  async closed(): Promise<void> {
    await Promise.all(this.#own.map(({ connection }) => new Promise((end) => connection.once('close', end))))
  }

  destroy(): void {
    for (const { connection } of this.#own) connection.destroy()
  }

  get #own(): Use[] {
    return this.#open.items.filter(({ connection }) => !handedOver.has(connection))
  }

  #useOf(connection: Connection): Use {
    const tracked = connection as Connection & Tracked
    const known = tracked[this.#useKey]
    if (known !== undefined) return known
    // A TLS connection is two sockets: the raw one, known from the start, and the TLS socket, known at the first request.
    const use = new Use(this, connection)
    tracked[this.#useKey] = use
    this.#open.add(use)
    connection.on('close', this.#onConnectionClose)
    return use
  }

  /** Undefined for a response that is sent or lost, or that is not tracked here. */
  #useOfResponse(response: Response & Tracked): Use | undefined {
    const use = exchangeOf(response)?.use
    return use instanceof Use && use.connections === this ? use : response[this.#useKey]
  }

  #begin(connection: Connection | undefined, response: Response): void {
    const exchange = exchangeOf(response)
    const tracked = response as Response & Tracked
    // A program can emit the same request twice.
    if (connection === undefined || this.#useOfResponse(tracked) !== undefined) return
    const use = this.#useOf(connection)
    if (use.newest !== undefined) (use.earlier ??= new Set()).add(use.newest)
    use.asked = true
    use.newest = response
    this.#replies++
    // An exchange observes the events of its response anyway. Another tracker can have it already.
    if (exchange !== undefined && exchange.use === undefined) exchange.use = use
    else {
      tracked[this.#useKey] = use
      response.on('close', this.#onResponseClose)
    }
  }

  /** @internal Called when a response is sent or lost. */
  end(use: Use, response: Response): void {
    if (use.newest === response) use.newest = undefined
    else use.earlier?.delete(response)
    this.#replies--
    if (this.#nextReply !== undefined) {
      this.#nextReply.resolve()
      this.#nextReply = undefined
    }
    if (this.#ending && responsesOf(use).length === 0) endSoon(use.connection)
  }

  #lost(response: Response & Tracked): void {
    const use = this.#useOfResponse(response)
    if (use === undefined) return
    response[this.#useKey] = undefined
    const exchange = exchangeOf(response)
    if (exchange?.use === use) exchange.use = undefined
    this.end(use, response)
    this.#options.onResponseLost(response as ServerResponse & Tracked)
  }
}

/** The responses that are neither sent nor lost. */
function responsesOf({ earlier, newest }: Use): Response[] {
  const responses = Array.from(earlier ?? [])
  if (newest !== undefined) responses.push(newest)
  return responses
}

/** An HTTP/2 stream has no session after its client disconnected. */
function connectionOf(message: Message): Connection | undefined {
  return 'stream' in message ? (message.stream.session as ServerHttp2Session | undefined) : message.socket
}

function isSocket(connection: Connection): connection is Socket {
  return 'bytesRead' in connection
}

function endSoon(connection: Connection): void {
  if (isSocket(connection)) connection.destroySoon()
  else connection.close()
}

/** Only on the newest response: Node drops the pipelined responses after one with `Connection: close`. */
function announceEnd(response: Response | undefined): void {
  if (response !== undefined && !response.headersSent) response.setHeader('connection', 'close')
}
