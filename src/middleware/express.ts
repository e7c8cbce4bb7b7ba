import type { IncomingMessage, ServerResponse } from 'node:http'
import { checkCalled } from '../options.ts'
import { trackLayers } from './express-layers.ts'
import { type NodeMiddleware, NodeRequests, type NodeServerOptions } from './node-requests.ts'

export type { NodeMiddleware, NodeServerOptions } from './node-requests.ts'
export type { CloseReport, UnfinishedRequest } from './server-drain.ts'

/** A middleware for Express 4 and 5. */
export interface ExpressMiddleware extends NodeMiddleware {
  (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void): void
}

/**
 * Creates a middleware for Express that opens a unit for each request: it has values in the middlewares, handlers and
 * error handlers after it, and in the events of the request and the response; its tasks outlive the reply; the `close()`
 * of the server waits for them.
 *
 * In a router whose requests have a unit already it takes the option `policy` only: the policy of the tasks that are
 * spawned in this router.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type.
 */
export function logicalContext(options?: NodeServerOptions, ...calledByExpress: never[]): ExpressMiddleware {
  checkCalled('logicalContext', 'a middleware', 'app.use(logicalContext())', options, ...calledByExpress)
  const requests = new NodeRequests('logicalContext', options)

  const middleware = (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void): void => {
    if (requests.enterAgain(request)) return next()
    trackLayers(request)
    requests.begin(request, response, () => next())
  }
  return requests.expose(middleware, 'logicalContext')
}

export default logicalContext
