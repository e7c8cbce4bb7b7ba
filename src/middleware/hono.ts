import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import { finished } from 'node:stream'
import type { Context, Handler, MiddlewareHandler, Next } from 'hono'
import { isThenable } from '../callbacks.ts'
import { ClientGoneError } from '../errors.ts'
import { checkCalled } from '../options.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { isHandedOver } from './connections.ts'
import { type Exchange, exchangeOf, ofStream, type Wait } from './exchange.ts'
import {
  nameAfterRoute,
  nextInUnit,
  type NodeMiddleware,
  type NodeRequest,
  NodeRequests,
  type NodeResponse,
  type NodeServerOptions,
  otherFramework,
} from './node-requests.ts'

export type { NodeMiddleware, NodeServerOptions } from './node-requests.ts'
export type { CloseReport, UnfinishedRequest } from './server-drain.ts'

/** A middleware for Hono 4. `c.get('requestScope')` is the unit of the request. */
export interface HonoMiddleware
  extends NodeMiddleware, MiddlewareHandler<{ Variables: { requestScope: RequestScope } }> {}

type AnyContext = Context<{ Variables: { requestScope: RequestScope } }>

/** What `@hono/node-server` passes to an app. */
interface NodeEnvironment {
  readonly incoming?: NodeRequest
  readonly outgoing?: NodeResponse
}

/**
 * Creates a middleware for Hono on `@hono/node-server` that opens a unit for each request: it has values in the
 * middlewares and handlers after it, in `onError` and `notFound`, and where a stream is produced; its tasks outlive the
 * reply; the `close()` of the server waits for them.
 *
 * On paths whose requests have a unit already it takes the option `policy` only: the policy of the tasks that are spawned
 * there. For `app.request()`, which has no server, the unit ends with the handler.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type.
 */
export function logicalContext(options?: NodeServerOptions, ...calledByHono: never[]): HonoMiddleware {
  checkCalled('logicalContext', 'a middleware', 'app.use(logicalContext())', options, ...calledByHono)
  const requests = new NodeRequests('logicalContext', options)

  const middleware = (c: AnyContext, next: Next): Promise<void> => {
    const { incoming, outgoing } = (c.env ?? {}) as NodeEnvironment
    if (incoming === undefined || outgoing === undefined) {
      if (incoming?.headers.upgrade === undefined) return withoutServer(requests, c, next)
      return forUpgrade(requests, c, next, incoming)
    }
    const leave = requests.enterAgain(incoming)
    if (leave !== undefined) return next().finally(leave)
    let result: Promise<void> | undefined
    requests.begin(incoming, outgoing, (exchange) => {
      c.set('requestScope', exchange.scope)
      const matched = trackHandlers(c)
      nameAfter(matched, exchange, incoming)
      const answered = exchange.endWith(ofChain, next()).then(
        () => {
          // Hono's `onError` has replied to it.
          if (c.error !== undefined) exchange.scope.failed(c.error)
          streamInUnit(c, exchange)
        },
        (error: unknown) => {
          exchange.scope.failed(error)
          throw error
        },
      )
      result = matched.length === 1 ? reactInUnit(exchange, answered) : answered
    })
    return result as Promise<void>
  }
  return requests.expose(middleware, 'logicalContext')
}

export default logicalContext

const ofChain: Wait = { what: 'the handlers', untilReply: false }

/** For `app.request()` in tests. */
async function withoutServer(requests: NodeRequests, c: AnyContext, next: Next): Promise<void> {
  if (c.req?.raw === undefined) throw otherFramework('logicalContext')
  if (c.get('requestScope') !== undefined) return next()
  const headers = Object.fromEntries(c.req.raw.headers) as IncomingHttpHeaders
  const scope = requests.inbound.open(c.req.method, { headers, socket: {} as Socket, method: c.req.method })
  try {
    await runIn(scope, c, next)
  } finally {
    scope.close()
  }
}

/** For `upgradeWebSocket`: the unit ends with the connection. The middleware for WebSockets continues in it. */
async function forUpgrade(requests: NodeRequests, c: AnyContext, next: Next, request: NodeRequest): Promise<void> {
  if (request.requestScope !== undefined) return next()
  const scope = requests.inbound.open(request.method ?? '', request)
  const { socket } = request
  request.requestScope = scope
  finished(socket, () => {
    // Then that middleware closes it, after the listeners.
    if (isHandedOver(socket)) return
    scope.abort(new ClientGoneError(scope.name))
    scope.close()
  })
  await runIn(scope, c, next)
}

function runIn(scope: RequestScope, c: AnyContext, next: Next): Promise<void> {
  c.set('requestScope', scope)
  trackHandlers(c)
  return scope.run(next)
}

type Reaction = ((value: unknown) => unknown) | null | undefined

/** Without other middlewares and a route, Hono answers a failure, of `notFound`, in a reaction to our promise. */
function reactInUnit<T>(exchange: Exchange, promise: Promise<T>): Promise<T> {
  const value = (...reactions: Reaction[]): Promise<unknown> => {
    const [fulfilled, rejected] = reactions.map(
      (reaction) => reaction && ((settled: unknown) => exchange.enter(reaction, undefined, settled)),
    )
    const reacted = Promise.prototype.then.call(promise, fulfilled, rejected)
    return reactInUnit(exchange, exchange.endWith(ofChain, reacted))
  }
  return Object.defineProperty(promise, thenMethod, { value })
}

const { name: thenMethod } = Promise.prototype.then

/** A handler as Hono's router returns it: the first item can be replaced. */
type RoutedHandler = [handler: Handler, route: { readonly method: string; readonly path: string }]

/** The getter of the matched handlers, whose symbol Hono does not export. */
let matchSymbol: symbol | undefined

/** Replaces the matched handlers, once for all requests, and returns them. */
function trackHandlers(c: AnyContext): readonly [RoutedHandler][] {
  matchSymbol ??= Object.getOwnPropertySymbols(Object.getPrototypeOf(c.req) as object)[0]
  const [matched] = Reflect.get(c.req, matchSymbol ?? '') as [[RoutedHandler][] | undefined]
  if (!Array.isArray(matched)) return []
  for (const [routed] of matched) {
    if (tracked.has(routed[0])) continue
    routed[0] = new Proxy(routed[0], { apply: applyInUnit })
    tracked.add(routed[0])
  }
  return matched
}

function nameAfter(matched: readonly [RoutedHandler][], exchange: Exchange, request: NodeRequest): void {
  const [, route] = matched.at(-1)?.[0] ?? []
  // A middleware that is used on all paths is not a route.
  const isRoute = route !== undefined && !(route.method === 'ALL' && route.path.endsWith('*'))
  if (isRoute) nameAfterRoute(exchange, request, route.path)
}

const tracked = new WeakSet<Handler>()

/** A `next` that is called in another request continues in the unit of its own one. */
function applyInUnit(handler: Handler, receiver: unknown, [c, next]: [AnyContext, Next]): unknown {
  const { incoming } = (c.env ?? {}) as NodeEnvironment
  const exchange = exchangeOf(incoming)
  // The first one after ours.
  const isOutermost = c.req.routeIndex === 1 && c.get('requestScope') !== undefined
  // The middleware `timeout` does not wait for it. It includes the handler of errors.
  const nextTracked = () => exchange?.endWith(ofChain, next())
  const continued = exchange === undefined ? next : nextInUnit(exchange, nextTracked)
  const result: unknown = handler.call(receiver, c, continued as Next)
  if (!isOutermost) return result
  return isThenable(result) ? result.then((settled) => checkAnswered(c, settled)) : checkAnswered(c, result)
}

/** Without a response Hono fails after its middlewares. In here, the failure reaches `onError` in the unit. */
function checkAnswered(c: AnyContext, result: unknown): unknown {
  if (!result && !c.finalized) throw new Error('Context is not finalized: no handler returned a response.')
  return result
}

/** The server reads the body of the response outside the unit. */
function streamInUnit(c: AnyContext, exchange: Exchange): void {
  // Hono drops the body of a reply to HEAD, and does not cancel it.
  if (c.req.method === 'HEAD') return
  const body = streamOf(c.res)
  if (body === undefined || body.locked) return
  const reader = body.getReader()
  void exchange.endWith(ofStream, reader.closed).catch(() => {})
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>) => {
    const { done, value } = await exchange.enter(reader.read, reader)
    if (done) controller.close()
    else controller.enqueue(value)
  }
  const cancel = (reason: unknown) => exchange.enter(reader.cancel, reader, reason)
  const { res } = c
  // Without this, Hono merges the headers of both.
  c.res = undefined
  c.res = new Response(new ReadableStream({ pull, cancel }, { highWaterMark: 0 }), res)
}

/** The response of `@hono/node-server` has its body in here until it is read, which would make it slow. */
interface LightResponse {
  readonly [cache: symbol]: readonly [status: number, body: unknown] | undefined
}

function streamOf(response: Response): ReadableStream<Uint8Array<ArrayBuffer>> | undefined {
  const cache = Object.getOwnPropertySymbols(response).find(({ description }) => description === 'cache')
  const body = cache === undefined ? response.body : (response as Response & LightResponse)[cache]?.[1]
  return body instanceof ReadableStream ? body : undefined
}
