import { isThenable } from '../callbacks.ts'
import { checkCalled } from '../options.ts'
import { type Exchange, exchangeOf, type Wait } from './exchange.ts'
import {
  nameAfterRoute,
  nextInUnit,
  type NodeMiddleware,
  type NodeRequest,
  NodeRequests,
  type NodeResponse,
  type NodeServerOptions,
} from './node-requests.ts'
import { awaitUnsent } from './replies.ts'

export type { NodeMiddleware, NodeRequest, NodeResponse, NodeServerOptions } from './node-requests.ts'
export type { CloseReport, UnfinishedRequest } from './server-drain.ts'

type Next = () => Promise<unknown>
type Called = (context: KoaContext, next: Next) => unknown

/** The members of Koa's context that are used here. */
export interface KoaContext {
  readonly req: NodeRequest
  readonly res: NodeResponse
  readonly body?: unknown
  readonly app?: { readonly middleware?: unknown; readonly compose?: unknown }
  onerror(error: Error | null): void
}

/** A middleware for Koa 3. */
export interface KoaMiddleware extends NodeMiddleware {
  (context: KoaContext, next: Next): Promise<unknown>
}

/**
 * Creates a middleware for Koa that opens a unit for each request: it has values in the middlewares after it, where the
 * body is sent, and in the listeners of the app's event `error`; its tasks outlive the reply; the `close()` of the server
 * waits for them. Use it first: Koa sends the body outside the units of later middlewares.
 *
 * In a router whose requests have a unit already it takes the option `policy` only: the policy of the tasks that are
 * spawned in this router.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type.
 */
export function logicalContext(options?: NodeServerOptions, ...calledByKoa: never[]): KoaMiddleware {
  checkCalled('logicalContext', 'a middleware', 'app.use(logicalContext())', options, ...calledByKoa)
  const requests = new NodeRequests('logicalContext', options)
  const chains = new WeakMap<object, readonly Called[]>()

  const middleware = (context: KoaContext, next: Next): Promise<unknown> => {
    const { app, req, res } = context
    const leave = requests.enterAgain(req)
    if (leave !== undefined) return next().finally(leave)
    let chain = app === undefined ? undefined : chains.get(app)
    if (app !== undefined && chain === undefined) chains.set(app, (chain = chainAfter(exposed, app)))
    let result: Promise<unknown> | undefined
    requests.begin(req, res, (exchange) => {
      errorsInUnit(context, exchange)
      // A middleware that is not in the app's own list belongs to a router or to an app that is mounted.
      result = exchange.endWith(ofChain, chain?.length ? runChain(chain, context, exchange) : next())
      // Koa sends the body in a callback of this promise.
      Reflect.defineProperty(result, thenMethod, { value: thenInUnit.bind(result, exchange, context) })
    })
    return result as Promise<unknown>
  }
  const exposed = requests.expose(middleware, 'logicalContext')
  return exposed
}

export default logicalContext

const { name: thenMethod } = Promise.prototype.then
const ofChain: Wait = { what: 'the middlewares', untilReply: false }

/** Koa reports failures of the middlewares and of the response here, and emits `error` of the app. */
function errorsInUnit(context: KoaContext, exchange: Exchange): void {
  const { onerror } = context
  const value: KoaContext['onerror'] = (error) => {
    if (error === null || error === undefined) return
    exchange.scope.failed(error)
    exchange.enter(onerror, context, error)
  }
  Object.defineProperty(context, 'onerror', { value, configurable: true, writable: true })
}

type Reaction = ((value: unknown) => unknown) | null | undefined

function thenInUnit(
  this: Promise<unknown>,
  exchange: Exchange,
  context: KoaContext,
  ...reactions: Reaction[]
): Promise<unknown> {
  const [fulfilled, rejected] = reactions.map(
    (reaction) =>
      reaction &&
      ((value: unknown) => {
        awaitUnsent(exchange, context.req.method, context.body)
        return exchange.enter(reaction, undefined, value)
      }),
  )
  return Promise.prototype.then.call(this, fulfilled, rejected)
}

/** The middlewares of the app after `own`; empty if it is not in the app's list, or the app has its own `compose`. */
function chainAfter(own: Called, app: NonNullable<KoaContext['app']>): readonly Called[] {
  const isOwnCompose = typeof app.compose === 'function' && app.compose.name !== 'compose'
  if (!Array.isArray(app.middleware) || isOwnCompose) return []
  const all = app.middleware.flat(Number.POSITIVE_INFINITY) as Called[]
  const index = all.indexOf(own)
  if (index === -1) return []
  const chain = all.slice(index + 1)
  for (const called of chain) trackRouter(called)
  return chain
}

/**
 * Runs middlewares as Koa does. A `next` that is called in another request continues in the unit of its own one. If a
 * middleware does not wait for its `next`, as one that limits the time does, the others postpone the seal too.
 */
function runChain(chain: readonly Called[], context: KoaContext, exchange: Exchange): Promise<unknown> {
  const { scope } = exchange
  let last = -1
  let running = 0
  let isLeft = false
  const dispatch = async (index: number): Promise<unknown> => {
    if (index <= last) throw new Error('next() called multiple times')
    last = index
    const called = chain[index]
    const { settings } = scope
    const isRouter = called !== undefined && 'router' in called
    const next = () => {
      // A policy that a router has set ends where the request leaves the router.
      if (isRouter) scope.settings = settings
      return dispatch(index + 1)
    }
    running++
    try {
      return await called?.(context, nextInUnit(exchange, next))
    } finally {
      running--
      if (index === 0 && running > 0) {
        isLeft = true
        exchange.begin(ofChain)
      }
      if (isLeft && running === 0) exchange.end(ofChain)
    }
  }
  return dispatch(0)
}

/** The middleware of a router of `@koa/router`. */
type RouterMiddleware = Called & {
  readonly router?: { readonly stack?: readonly { readonly stack?: Called[] }[] }
}

const tracked = new WeakSet<Called>()
/** Where a router puts the pattern of the route. */
const matchedRoute = '_matchedRoute'

/** Replaces the handlers of a router, which composes them itself. */
function trackRouter(called: RouterMiddleware): void {
  for (const { stack = [] } of called.router?.stack ?? []) {
    for (const [index, handler] of stack.entries()) {
      if (tracked.has(handler)) continue
      const replacement = new Proxy(handler, { apply: applyInUnit })
      tracked.add(replacement)
      stack[index] = replacement
    }
  }
}

function applyInUnit(handler: Called, receiver: unknown, [context, next]: [KoaContext, Next]): unknown {
  const exchange = exchangeOf(context.req)
  if (exchange === undefined) return handler.call(receiver, context, next)
  const route = (context as { [matchedRoute]?: string | RegExp })[matchedRoute]
  if (route !== undefined) nameAfterRoute(exchange, context.req, String(route))
  const result = handler.call(receiver, context, nextInUnit(exchange, next))
  return isThenable(result) ? exchange.endWith(ofChain, result) : result
}
