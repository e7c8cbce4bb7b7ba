import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Session } from 'node:http2'
import type { Server, Socket } from 'node:net'
import { LinkedList, type Listed } from '../tasks/linked-list.ts'

type Connection = Socket | ServerHttp2Session
type Message = IncomingMessage | Http2ServerRequest
type Response = ServerResponse | Http2ServerResponse

/** How a connection is used. */
interface Use extends Listed<Use> {
  readonly connection: Connection
  /** How many of its requests have no complete reply. */
  open: number
  /** Whether it has received a request. */
  asked: boolean
  /** The response to the newest request, until it is sent. */
  newest: Response | undefined
}

/** A connection, or a response that is neither sent nor lost. It has the use of its connection under a symbol. */
type Tracked = Record<symbol, Use | undefined>

/**
 * The connections of a server. It ends each of them without losing a reply. Node's own `closeIdleConnections` destroys
 * a connection whose reply is complete and not yet sent, treats a silent one as busy, and does not support HTTP/2.
 */
export class Connections {
  /** A `WeakMap` costs the garbage collector more. */
  readonly #useKey = Symbol('logical-context.use')
  /** One listener for all connections, and one for all responses: closures for each of them cost more than the rest. */
  readonly #onConnectionClose: () => void
  readonly #onResponseClose: () => void
  readonly #open = new LinkedList<Use>()
  /** How many responses are neither sent nor lost. */
  #replies = 0
  #idle: PromiseWithResolvers<void> | undefined
  #ending = false

  constructor(server: Server, onResponseClosed: (response: ServerResponse) => void) {
    const useKey = this.#useKey
    const open = this.#open
    const end = (use: Use, response: Response) => this.#end(use, response)
    this.#onConnectionClose = function onConnectionClose(this: Connection & Tracked) {
      open.delete(this[useKey] as Use)
    }
    this.#onResponseClose = function onResponseClose(this: Response & Tracked) {
      const use = this[useKey]
      this[useKey] = undefined
      if (use !== undefined) end(use, this)
      onResponseClosed(this as ServerResponse & Tracked)
    }
    const add = (connection: Connection) => void this.#useOf(connection)
    server.on('connection', add).on('session', add)
    server.on('request', (message: Message, response: Response) => this.#begin(connectionOf(message), response))
  }

  /** Ends the connections without a running request now, and the others after their last reply. */
  endIdle(): void {
    this.#ending = true
    for (const { connection, open, asked, newest } of this.#open.items) {
      // Sends GOAWAY: the running requests are answered, and the client sends no new ones.
      if (!isSocket(connection)) connection.close()
      else if (open > 0) announceEnd(newest)
      else if (asked) connection.destroySoon()
    }
  }

  /** Resolves when all replies are sent or lost; a new request may follow. */
  async idle(): Promise<void> {
    if (this.busy) await (this.#idle ??= Promise.withResolvers<void>()).promise
  }

  get busy(): boolean {
    return this.#replies > 0
  }

  /** Destroys the sockets that never received a byte: browsers open some in advance. */
  destroySilent(): void {
    for (const { connection } of this.#open.items) {
      if (isSocket(connection) && connection.bytesRead === 0) connection.destroy()
    }
  }

  /** Resolves when all connections that are open now have closed. */
  async closed(): Promise<void> {
    await Promise.all(this.#open.items.map(({ connection }) => new Promise((end) => connection.once('close', end))))
  }

  destroy(): void {
    for (const { connection } of this.#open.items) connection.destroy()
  }

  #useOf(connection: Connection): Use {
    const tracked = connection as Connection & Tracked
    const known = tracked[this.#useKey]
    if (known !== undefined) return known
    // A TLS connection is two sockets: the raw one, known from the start, and the TLS socket, known at the first request.
    const use: Use = { connection, open: 0, asked: false, newest: undefined, before: undefined, after: undefined }
    tracked[this.#useKey] = use
    this.#open.add(use)
    connection.on('close', this.#onConnectionClose)
    return use
  }

  #begin(connection: Connection | undefined, response: Response): void {
    const tracked = response as Response & Tracked
    // A program can emit the same request twice.
    if (connection === undefined || tracked[this.#useKey] !== undefined) return
    const use = this.#useOf(connection)
    use.open++
    use.asked = true
    use.newest = response
    this.#replies++
    tracked[this.#useKey] = use
    response.on('close', this.#onResponseClose)
  }

  #end(use: Use, response: Response): void {
    use.open--
    if (use.newest === response) use.newest = undefined
    this.#replies--
    if (!this.busy) {
      this.#idle?.resolve()
      this.#idle = undefined
    }
    if (this.#ending && use.open === 0) endSoon(use.connection)
  }
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
