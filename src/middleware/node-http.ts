import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { isThenable } from '../callbacks.ts'
import { checkFunction } from '../options.ts'
import { requestId } from '../variables/request-id.ts'
import { type Exchange, exchangeOf, type Wait } from './exchange.ts'
import type { Log } from './log.ts'
import {
  type NodeMiddleware,
  type NodeRequest,
  NodeRequests,
  type NodeResponse,
  type NodeServerOptions,
  secondRegistration,
} from './node-requests.ts'

export type { NodeMiddleware, NodeServerOptions } from './node-requests.ts'
export type { CloseReport, UnfinishedRequest } from './server-drain.ts'

/** A wrapped listener. It returns nothing: the promise of the listener is handled. */
export type NodeListener<Listener extends (request: never, response: never) => unknown> = NodeMiddleware &
  ((...args: Parameters<Listener>) => void)

/**
 * Wraps the listener of a server of `node:http`, `node:https` or `node:http2`. Each request has a unit: in the listener,
 * in the events of the request and the response, and until the promise that the listener returned has settled. The
 * `close()` of the server waits for requests and tasks.
 *
 * If the listener throws or rejects, the failure is logged and the request is answered with the status 500.
 *
 * @throws {TypeError} if `listener` is not a function, or for an option that is unknown or of the wrong type.
 */
export function logicalContext<Listener extends (request: IncomingMessage, response: ServerResponse) => unknown>(
  listener: Listener,
  options?: NodeServerOptions,
): NodeListener<Listener>
export function logicalContext<
  Listener extends (request: Http2ServerRequest, response: Http2ServerResponse) => unknown,
>(listener: Listener, options?: NodeServerOptions): NodeListener<Listener>
export function logicalContext(
  listener: (request: never, response: never) => unknown,
  options?: NodeServerOptions,
): NodeMiddleware {
  checkFunction('logicalContext', listener)
  const requests = new NodeRequests('logicalContext', options)
  const call = listener as (this: unknown, ...args: unknown[]) => unknown
  const what = listener.name === '' ? 'the listener' : `the listener '${listener.name}'`
  const promised: Wait = { what, untilReply: false }
  const replying: Wait = { what, untilReply: true }

  const wrapped = function (this: unknown, request: NodeRequest, response: NodeResponse): void {
    if (exchangeOf(request) !== undefined) throw secondRegistration('logicalContext', 'Wrap the listener once.')
    requests.begin(request, response, (exchange) => {
      const fail = (error: unknown) => replyToFailure(requests.log, exchange, response, what, error)
      let result: unknown
      try {
        result = call.call(this, request, response)
      } catch (error) {
        return fail(error)
      }
      if (isThenable(result)) exchange.endWith(promised, result).catch(fail)
      else exchange.awaitReply(replying)
    })
  }
  Object.defineProperty(wrapped, 'length', { value: listener.length })
  return requests.expose(wrapped, listener.name)
}

export default logicalContext

/** Logs what a listener threw, and answers as a server with the option `captureRejections` does. */
function replyToFailure(log: Log, { scope }: Exchange, response: NodeResponse, what: string, error: unknown): void {
  scope.failed(error)
  log.error({ err: error, request_id: requestId.get(), unit: scope.name }, `${what} failed`)
  if (response.headersSent) return cut(response)
  for (const name of response.getHeaderNames()) response.removeHeader(name)
  response.statusCode = 500
  response.end(process.getBuiltinModule('node:http').STATUS_CODES[500] ?? '')
}

/** A client takes a response that ends in its middle for a whole one, unless its connection or stream breaks. */
function cut(response: NodeResponse): void {
  if (response.writableEnded) return
  if (!('stream' in response)) return void response.destroy()
  const { constants } = process.getBuiltinModule('node:http2')
  response.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
}
