import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import { ClientGoneError } from '../errors.ts'
import type { RequestScope } from '../tasks/request-scope.ts'

/** What a request and its response have in common. */
interface Exchange {
  readonly scope: RequestScope
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Neither has emitted `close` yet. */
  requestOpen: boolean
  responseOpen: boolean
}

const exchangeKey: unique symbol = Symbol('logical-context.exchange')
const emitKey: unique symbol = Symbol('logical-context.emit')

interface ScopedEmitter extends EventEmitter {
  [exchangeKey]: Exchange
  [emitKey]: EventEmitter['emit']
}

/**
 * Lets the listeners of a request and its response run in `scope`, and closes it behind the last of them. The
 * response's `close` is the one event of every ending. After a hang-up the request's comes behind it, and with it a hook
 * of Fastify's; a request that is still being sent, or that was injected, may have none.
 */
export function closeWithEvents(scope: RequestScope, request: IncomingMessage, response: ServerResponse): void {
  const exchange: Exchange = { scope, request, response, requestOpen: !request.closed, responseOpen: true }
  emitIn(exchange, request as EventEmitter as ScopedEmitter)
  emitIn(exchange, response as EventEmitter as ScopedEmitter)
  // The client may have gone while a hook before ours was at work: that event is over, and the hooks behind still begin.
  if (isClosed(response)) endSoon(exchange)
}

export function isClosed(response: ServerResponse | Http2ServerResponse): boolean {
  return 'stream' in response ? response.stream.closed : response.closed
}

/**
 * Whoever emits: Node calls listeners in the context of a socket, a timer or an HTTP/2 session, and under pipelining in
 * that of another request.
 */
function emitIn(exchange: Exchange, emitter: ScopedEmitter): void {
  emitter[exchangeKey] = exchange
  emitter[emitKey] = emitter.emit
  emitter.emit = emitInScope
}

/** One for all emitters: a closure for each would be dearer than the rest. */
function emitInScope(this: ScopedEmitter, event: string | symbol, ...args: unknown[]): boolean {
  const exchange = this[exchangeKey]
  const emit = this[emitKey]
  // Most events are heard by nobody.
  const silent = this.listenerCount(event) === 0
  const heard = silent ? emit.call(this, event, ...args) : exchange.scope.runInSnapshot(emit, this, event, ...args)
  // Behind the listeners: they still see the values.
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
  // A stream that is destroyed and not closed is about to emit it.
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
