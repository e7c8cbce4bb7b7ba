import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import { ClientGoneError } from '../errors.ts'
import type { Link } from '../tasks/linked-list.ts'
import type { RequestScope } from '../tasks/request-scope.ts'

/** The key of a raw request's scope. It is set before Fastify creates its own request. */
export const scopeKey: unique symbol = Symbol('logical-context.scope')

/** The key of its entry in the list of requests in flight, from our `onRequest` hook on. */
export const linkKey: unique symbol = Symbol('logical-context.link')

export interface ScopedMessage extends IncomingMessage {
  [scopeKey]?: RequestScope
  [linkKey]?: Link<RequestScope>
}

/** The scope of Fastify's request. Undefined for other arguments: @fastify/websocket calls handlers with a socket. */
export function scopeOf(request: { readonly raw?: ScopedMessage } | undefined): RequestScope | undefined {
  return request?.raw?.[scopeKey]
}

const exchangeKey: unique symbol = Symbol('logical-context.exchange')
const emitKey: unique symbol = Symbol('logical-context.emit')

interface ScopedEmitter extends EventEmitter {
  [exchangeKey]: Exchange
  [emitKey]: EventEmitter['emit']
}

/** A request and its response. */
interface Exchange {
  readonly scope: RequestScope
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Neither has emitted `close` yet. */
  requestOpen: boolean
  responseOpen: boolean
}

/**
 * Runs the listeners of a request and its response in `scope`, and closes the scope after the last of them. The
 * response's `close` is the one event of every ending. After a disconnect the request's `close` follows it, and with it
 * a hook of Fastify's. A request that is still being sent, or that was injected, may have none.
 */
export function closeWithEvents(scope: RequestScope, request: IncomingMessage, response: ServerResponse): void {
  const exchange: Exchange = { scope, request, response, requestOpen: !request.closed, responseOpen: true }
  emitIn(exchange, request as EventEmitter as ScopedEmitter)
  emitIn(exchange, response as EventEmitter as ScopedEmitter)
  // The client disconnected during an earlier hook: `close` was emitted before, and the later hooks still run.
  if (isClosed(response)) endSoon(exchange)
}

/**
 * Node calls listeners in the context of a socket, a timer or an HTTP/2 session; with pipelining, in the context of
 * another request.
 */
function emitIn(exchange: Exchange, emitter: ScopedEmitter): void {
  emitter[exchangeKey] = exchange
  emitter[emitKey] = emitter.emit
  emitter.emit = emitInScope
}

/** One function for all emitters: one closure per emitter costs more than the rest. */
function emitInScope(this: ScopedEmitter, event: string | symbol, ...args: unknown[]): boolean {
  const exchange = this[exchangeKey]
  const emit = this[emitKey]
  // Most events have no listener.
  const silent = this.listenerCount(event) === 0
  const heard = silent ? emit.call(this, event, ...args) : exchange.scope.runInSnapshot(emit, this, event, ...args)
  // After the listeners: they still read the values.
  if (event === 'close') close(exchange, this)
  return heard
}

function close(exchange: Exchange, emitter: EventEmitter): void {
  const { scope, request } = exchange
  if (emitter === request) {
    exchange.requestOpen = false
    if (!exchange.responseOpen) scope.close()
    return
  }
  exchange.responseOpen = false
  // A request that is destroyed and not closed emits `close` next.
  if (exchange.requestOpen && !request.destroyed) return endSoon(exchange)
  abortIfLost(exchange)
  if (!exchange.requestOpen) scope.close()
}

function endSoon(exchange: Exchange): void {
  abortIfLost(exchange)
  setImmediate(() => exchange.scope.close())
}

function abortIfLost({ scope, response }: Exchange): void {
  if (!response.writableEnded) scope.abort(new ClientGoneError(scope.name))
}

function isClosed(response: ServerResponse | Http2ServerResponse): boolean {
  return 'stream' in response ? response.stream.closed : response.closed
}

/** Postpones the seal until a thenable has settled and its handlers have run. Returns a promise of the same result. */
export function postponeUntilSettled(scope: RequestScope, result: PromiseLike<unknown>): Promise<unknown> {
  // `then` is called once on a foreign thenable: a query builder starts its query at each call.
  const promise = result instanceof Promise ? result : Promise.resolve(result)
  scope.retain()
  // Smaller than a closure, and a request can be in flight for long.
  const settled = releaseAfterHandlers.bind(scope)
  promise.then(settled, settled)
  return promise
}

/** After the end of the reply nothing else postpones the seal, and Fastify logs or calls its next hook after this. */
function releaseAfterHandlers(this: RequestScope): void {
  if (this.closed) setImmediate(() => this.release())
  else this.release()
}

/** The wait for a callback that a hook has not called yet. */
export class CallbackWait {
  readonly #scope: RequestScope
  #over = false
  #postpones = false
  #stopListening: (() => void) | undefined

  constructor(scope: RequestScope) {
    this.#scope = scope
  }

  /** Postpones the seal until the end of the wait. */
  postpone(): void {
    if (this.#over) return
    this.#postpones = true
    this.#scope.retain()
  }

  /** The same from a disconnect on. A hook that replies does not call its callback. */
  postponeIfLost(response: ServerResponse, isAnswered: () => boolean): void {
    if (this.#over) return
    const lost = () => this.#lost(response, isAnswered)
    if (isClosed(response)) return lost()
    response.on('close', lost)
    this.#stopListening = () => response.off('close', lost)
  }

  readonly end = (): void => {
    if (this.#over) return
    this.#over = true
    this.#stopListening?.()
    if (this.#postpones) releaseAfterHandlers.call(this.#scope)
  }

  #lost(response: ServerResponse, isAnswered: () => boolean): void {
    if (this.#over || isAnswered()) return
    this.postpone()
    // A piped stream calls neither `write` nor `end`: nothing reads it after a disconnect.
    response.once('pipe', this.end)
    for (const name of ['write', 'end'] as const) {
      const method = response[name] as (...args: unknown[]) => unknown
      const ending = (...args: unknown[]) => {
        this.end()
        return method.apply(response, args)
      }
      Object.assign(response, { [name]: ending })
    }
  }
}
