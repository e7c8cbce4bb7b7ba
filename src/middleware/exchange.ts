import { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Readable } from 'node:stream'
import { currentCell } from '../context/cell.ts'
import { type AsyncSnapshot, captureSnapshot } from '../context/storage.ts'
import { ClientGoneError } from '../errors.ts'
import type { Listed } from '../tasks/linked-list.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import type { Exchanges, Unsettled } from './exchanges.ts'
import { enterStream } from './http2-streams.ts'

export type Message = IncomingMessage | Http2ServerRequest
export type Response = ServerResponse | Http2ServerResponse

/** What a response occupies until it is sent or lost. */
export interface ResponseUse {
  responseClosed(response: Response): void
}

/** A handler or a hook that has not ended. */
export interface Wait {
  /** For reports: 'the handler', "the hook onResponse 'audit'". */
  readonly what: string
  /**
   * True if a reply ends it: a hook that replies does not call its callback. It postpones the seal from a disconnect on.
   * The others postpone it from their start.
   */
  readonly untilReply: boolean
}

/**
 * A request and its response, from our `onRequest` hook on. Their listeners run in the unit. The scope closes after the
 * last of them.
 *
 * The response's `close` is the one event of every ending. After a disconnect the request's `close` follows it, and with
 * it a hook of Fastify's. A request that is still being sent, or that was injected, may have none.
 */
export class Exchange implements Listed<Exchange> {
  readonly scope: RequestScope
  readonly request: Message
  readonly response: Response
  before: Exchange | undefined = undefined
  after: Exchange | undefined = undefined
  /** Its entry in the list of exchanges that are closed and not sealed. */
  unsettled: Unsettled | undefined = undefined
  /** The use of the connection by the response, until that is sent or lost. */
  use: ResponseUse | undefined = undefined
  readonly #exchanges: Exchanges
  /** What `emitInUnit` replaces. In here, because a property more on Node's objects costs more. */
  readonly #emitOfRequest: EventEmitter['emit']
  readonly #emitOfResponse: EventEmitter['emit']
  /** Replaced by each change: an array that grows takes room for sixteen more. */
  #waits: readonly Wait[] = noWaits
  /** The contexts in which a handler in callback style was called. */
  #snapshot: AsyncSnapshot | undefined
  #requestOpen: boolean
  #responseOpen = true
  /** Whether a reply began, or another program part took over the response. */
  #replied = false
  /** Whether the response closed without a reply. */
  #lost = false

  constructor(scope: RequestScope, request: Message, response: Response, exchanges: Exchanges) {
    this.scope = scope
    this.request = request
    this.response = response
    this.#exchanges = exchanges
    this.#requestOpen = !request.closed
    this.#emitOfRequest = emitIn(this, request)
    this.#emitOfResponse = emitIn(this, response)
    const { stream } = response as Partial<Http2ServerResponse>
    if (stream !== undefined) enterStream(this, stream)
    // The client disconnected during an earlier hook: `close` was emitted before, and the later hooks still run.
    if ((stream ?? response).closed) this.#endSoon()
  }

  /** The path of the URL. */
  get path(): string {
    // Express changes `url` in a router, and keeps the whole one.
    const { originalUrl, url = '' } = this.request as { originalUrl?: string; url?: string }
    return (originalUrl ?? url).split(/[?#]/, 1)[0] as string
  }

  get responseOpen(): boolean {
    return this.#responseOpen
  }

  /** What postpones the seal, for reports. */
  get waitsFor(): string[] {
    return Array.from(new Set(this.#waits.filter((wait) => this.#postpones(wait))), ({ what }) => what)
  }

  /**
   * Whether the current code runs in the unit: also in a block, a span or a cancel scope that a hook opened around its
   * callback. A task is another unit, also a task of this request.
   */
  get isCurrent(): boolean {
    return currentCell()?.unit === this.scope
  }

  /** Calls `fn` in the unit; code that runs in the unit calls it where it is. */
  enter<This, Args extends unknown[], R>(fn: (this: This, ...args: Args) => R, receiver: This, ...args: Args): R {
    if (this.isCurrent) return fn.apply(receiver, args)
    if (this.#snapshot !== undefined) return this.#snapshot.runInAsyncScope(fn, receiver, ...args)
    return this.scope.runInSnapshot(fn, receiver, ...args)
  }

  /** A handler returned without a reply: what it continues with later runs in the contexts of this call. */
  awaitReply(wait: Wait): void {
    if (this.#hasReply) return
    this.#snapshot = captureSnapshot()
    this.begin(wait)
  }

  begin(wait: Wait): void {
    if (wait.untilReply && this.#hasReply) return
    this.#waits = this.#waits.length === 0 ? [wait] : this.#waits.concat(wait)
    if (this.#postpones(wait)) this.scope.retain()
  }

  /** Begins `wait`, and ends those for `what`. */
  beginInstead(wait: Wait, what: string): void {
    const replaced = this.#waits.filter((each) => each.what === what)
    this.begin(wait)
    for (const each of replaced) this.end(each)
  }

  /** A second call does nothing. */
  end(wait: Wait): void {
    const index = this.#waits.lastIndexOf(wait)
    if (index === -1) return
    this.#waits = this.#waits.length === 1 ? noWaits : this.#waits.toSpliced(index, 1)
    if (!this.#postpones(wait)) return
    // Fastify calls the next hook, or logs, after this function returns: nothing else postpones the seal.
    if (this.scope.closed) setImmediate(() => this.scope.release())
    else this.scope.release()
  }

  /** Postpones the seal until `result` has settled. Returns a promise of the same result. */
  endWith(wait: Wait, result: PromiseLike<unknown>): Promise<unknown> {
    // `then` is called once on a foreign thenable: a query builder starts its query at each call.
    const promise = result instanceof Promise ? result : Promise.resolve(result)
    this.begin(wait)
    // Smaller than a closure, and a request can be in flight for long.
    const end = this.end.bind(this, wait)
    promise.then(end, end)
    return promise
  }

  /** What the stream of the reply does until it has closed belongs to the request. */
  unpiped(source: Readable): void {
    const end = () => this.end(ofStream)
    // The code that destroys the stream of a closed response, such as `pipeline`, does it after this event.
    setImmediate(() => (source.destroyed ? process.getBuiltinModule('node:stream').finished(source, end) : end()))
  }

  /** A reply begins: no callback is owed any more. */
  reply(): void {
    this.#replied = true
    if (this.#waits.length === 0) return
    for (const wait of this.#waits) if (wait.untilReply) this.end(wait)
  }

  /** The reply failed, and an error handler has to reply again. */
  replyAgain(): void {
    this.#replied = false
  }

  /** The method `emit` of the request or the response, without ours. */
  emitOf(emitter: EventEmitter): EventEmitter['emit'] {
    return emitter === this.request ? this.#emitOfRequest : this.#emitOfResponse
  }

  /** Called after `close` of a request or a response. */
  closed(emitter: EventEmitter): void {
    if (emitter !== this.request) {
      this.endUse()
      return this.#responseClosed()
    }
    this.#requestOpen = false
    if (!this.#responseOpen) this.close()
  }

  /** The response no longer uses its connection. A second call does nothing. */
  endUse(): void {
    const { use } = this
    this.use = undefined
    use?.responseClosed(this.response)
  }

  /** Node 22 emits no `close` for pipelined responses if the connection closes first. */
  connectionClosed(): void {
    this.#requestOpen = false
    this.#responseClosed()
  }

  /** For an endless response that shows the close of its server: the close does not wait for it. */
  exempt(): void {
    this.#exchanges.exempt(this)
  }

  /** Called after the seal of the scope. */
  sealed(): void {
    this.#exchanges.delete(this)
  }

  #responseClosed(): void {
    if (!this.#responseOpen) return
    // `pipeline` calls back after the response of HTTP/2 has closed.
    if ('stream' in this.response) return this.#endSoon()
    // A request that is destroyed and not closed emits `close` next.
    if (this.#requestOpen && !this.request.destroyed) return this.#endSoon()
    this.#end()
    if (!this.#requestOpen) this.close()
  }

  #endSoon(): void {
    this.#end()
    this.#exchanges.closeSoon(this)
  }

  #end(): void {
    this.#responseOpen = false
    if (this.response.headersSent) this.scope.status = this.response.statusCode
    if (!this.response.writableEnded) this.scope.abort(new ClientGoneError(this.scope.name))
    this.#lost = !this.#hasReply
    if (this.#lost) for (const { untilReply } of this.#waits) if (untilReply) this.scope.retain()
  }

  /** Closes the scope. A second call does nothing. */
  close(): void {
    this.scope.close()
    if (!this.scope.sealed && this.unsettled === undefined) this.#exchanges.limit(this)
  }

  get #hasReply(): boolean {
    return this.#replied || this.response.headersSent
  }

  #postpones({ untilReply }: Wait): boolean {
    return !untilReply || this.#lost
  }
}

const noWaits: readonly Wait[] = []
export const ofStream: Wait = { what: 'the stream of the reply', untilReply: false }

interface ScopedEmitter extends EventEmitter {
  [exchangeKey]: Exchange
}

const exchangeKey: unique symbol = Symbol('logical-context.exchange')

/** The exchange of a raw request or response; undefined before our `onRequest` hook, and for other objects. */
export function exchangeOf(message: object | undefined): Exchange | undefined {
  return (message as ScopedEmitter | undefined)?.[exchangeKey]
}

/**
 * Node calls listeners in the context of a socket, a timer or an HTTP/2 session; with pipelining, in the context of
 * another request.
 */
function emitIn(exchange: Exchange, emitter: EventEmitter): EventEmitter['emit'] {
  const { emit } = emitter
  ;(emitter as ScopedEmitter)[exchangeKey] = exchange
  emitter.emit = emitInUnit
  return emit
}

const { emit: nodeEmit } = EventEmitter.prototype

/** One function for all emitters: one closure per emitter costs more than the rest. */
function emitInUnit(this: ScopedEmitter, event: string | symbol, ...args: unknown[]): boolean {
  const exchange = this[exchangeKey]
  // A closed response never releases its stream.
  if (event === 'pipe' && exchange.responseOpen) exchange.begin(ofStream)
  if (event === 'unpipe') exchange.unpiped(args[0] as Readable)
  if (event !== 'close') return emitToListeners(exchange, this, event, args)
  try {
    return emitToListeners(exchange, this, event, args)
  } finally {
    // After the listeners, which still read the values; also if one of them throws.
    exchange.closed(this)
  }
}

function emitToListeners(exchange: Exchange, emitter: EventEmitter, event: string | symbol, args: unknown[]): boolean {
  const emit = exchange.emitOf(emitter)
  if (emitter.listenerCount(event) > 0) return exchange.enter(emit, emitter, event, ...args)
  // Most events have no listener: Node's own `emit` does nothing then, except for an error.
  return emit === nodeEmit && event !== 'error' ? false : emit.call(emitter, event, ...args)
}

Object.defineProperty(emitInUnit, 'name', { value: 'emit' })
