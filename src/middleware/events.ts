import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { ClientGoneError } from '../errors.ts'
import type { RequestScope } from '../tasks/request-scope.ts'

/**
 * Lets the listeners of a request and its response run in `scope`, and closes it behind the last of them. The
 * response's `close` is the one event of every ending. After a hang-up the request's comes behind it, and with it a hook
 * of Fastify's; a request that is still being sent, or that was injected, may have none.
 */
export function closeWithEvents(scope: RequestScope, request: IncomingMessage, response: ServerResponse): void {
  let requestOpen = !request.closed
  emitIn(scope, request, () => {
    requestOpen = false
  })
  emitIn(scope, response, () => {
    if (!response.writableEnded) scope.abort(new ClientGoneError(scope.name))
    if (requestOpen) setImmediate(() => scope.close())
    else scope.close()
  })
}

/**
 * Whoever emits: Node calls listeners in the context of a socket, a timer or an HTTP/2 session, and under pipelining in
 * that of another request.
 */
function emitIn(scope: RequestScope, emitter: EventEmitter, onClosed: () => void): void {
  const { emit } = emitter
  emitter.emit = function emitInScope(this: EventEmitter, event: string | symbol, ...args: unknown[]): boolean {
    const heard = scope.reenter(emit, this, event, ...args)
    // Behind the listeners: they still see the values.
    if (event === 'close') onClosed()
    return heard
  }
}
