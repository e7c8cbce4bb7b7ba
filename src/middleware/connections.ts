import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Session } from 'node:http2'
import type { Server, Socket } from 'node:net'
import { LinkedList, type Listed } from '../tasks/linked-list.ts'

type Connection = Socket | ServerHttp2Session
type Message = IncomingMessage | Http2ServerRequest
type Response = ServerResponse | Http2ServerResponse

/** What a connection is used for. */
interface Use extends Listed<Use> {
  readonly connection: Connection
  /** Its requests without a whole reply. */
  open: number
  /** Whether a request has come at all. */
  asked: boolean
  /** The reply to the newest request, until it is sent. */
  newest: Response | undefined
}

/** A connection, or a response that is neither sent nor lost, with the use of the connection under a symbol. */
type Tracked = Record<symbol, Use | undefined>

/**
 * The connections of a server, and how to end each of them without a loss. Node's own `closeIdleConnections` destroys
 * those with a reply that has ended and is not yet sent, takes a silent one for busy, and does not know HTTP/2.
 */
export class Connections {
  /** A `WeakMap` would be dearer for the collector. */
  readonly #useKey = Symbol('logical-context.use')
  /** One listener for all of a kind: a closure for each, and a wrapper that calls it once, would be dearer than the rest. */
  readonly #onConnectionClose: () => void
  readonly #onResponseClose: () => void
  readonly #open = new LinkedList<Use>()
  /** How many replies are neither sent nor lost. */
  #replies = 0
  #idle: PromiseWithResolvers<void> | undefined
  #ending = false

  constructor(server: Server) {
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
    }
    const add = (connection: Connection) => void this.#useOf(connection)
    server.on('connection', add).on('session', add)
    server.on('request', (message: Message, response: Response) => this.#begin(connectionOf(message), response))
  }

  /** Ends the connections without a request now, and the others with their last reply. */
  endIdle(): void {
    this.#ending = true
    for (const { connection, open, asked, newest } of this.#open.items) {
      // To an HTTP/2 client it says that its requests are answered, and that it makes no new ones.
      if (!isSocket(connection)) connection.close()
      else if (open > 0) announceEnd(newest)
      else if (asked) connection.destroySoon()
    }
  }

  /** Resolves when each reply is sent or lost, maybe only for a moment. */
  async idle(): Promise<void> {
    if (this.busy) await (this.#idle ??= Promise.withResolvers<void>()).promise
  }

  get busy(): boolean {
    return this.#replies > 0
  }

  /** Destroys the sockets that have never sent anything: a browser opens some in case it needs them. */
  destroySilent(): void {
    for (const { connection } of this.#open.items) {
      if (isSocket(connection) && connection.bytesRead === 0) connection.destroy()
    }
  }

  /** Resolves when all that are open now are closed. */
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
    // On TLS a connection is two sockets: the raw one, known from the start, and at the first request the other.
    const use: Use = { connection, open: 0, asked: false, newest: undefined, before: undefined, after: undefined }
    tracked[this.#useKey] = use
    this.#open.add(use)
    connection.on('close', this.#onConnectionClose)
    return use
  }

  #begin(connection: Connection | undefined, response: Response): void {
    const tracked = response as Response & Tracked
    // Somebody may hand a request to the server once more.
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

/** A stream of HTTP/2 whose client has gone has no session any more. */
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

/** Only the newest reply may say it: Node drops the replies behind one that does, and pipelined requests have some. */
function announceEnd(response: Response | undefined): void {
  if (response !== undefined && !response.headersSent) response.setHeader('connection', 'close')
}
