import { isThenable, keepShape } from '../callbacks.ts'
import { type Exchange, exchangeOf, type Wait } from './exchange.ts'
import { basePattern, enterMount, type MountedRequest } from './express-mounts.ts'
import { nameAfterRoute, nextInUnit } from './node-requests.ts'

const express4Router = '_router'

/** A request in an app: Express adds these properties. */
interface RoutedRequest extends MountedRequest {
  readonly app?: {
    readonly router?: Router
    readonly [express4Router]?: Router
    /** The prototype of the app's responses. */
    readonly response?: Record<string, unknown>
  }
}

interface Router {
  readonly stack: readonly Layer[]
  /** The callbacks of `router.param`, by the names of the parameters. */
  readonly params?: Readonly<Record<string, Handle[]>>
}

type Next = (error?: unknown) => void
type Handle = (...args: never[]) => unknown

/** A middleware, a handler or a route in the stack of a router. The types of Express omit it. */
interface Layer {
  readonly handle: Handle & Partial<Router>
  /** For a layer that only passes requests on to the handlers of a route. */
  readonly route?: { readonly path: unknown }
  /** For a handler of a route. */
  readonly method?: string
  [trackedKey]?: Layer
}

const trackedKey: unique symbol = Symbol('logical-context.tracked')

/** The methods of a layer: of Express 5, and of Express 4. */
type Handling = Record<'handleRequest' | 'handleError' | 'handle_request' | 'handle_error', Handle | undefined>

const patched = new WeakSet<object>()

/**
 * Makes each layer of the request's app run in the unit of its request, regardless of the code that calls `next`, and
 * makes the end of an async layer known. Replaces two methods for all apps of this copy of Express. They change nothing
 * for requests without a unit.
 */
export function trackLayers({ app }: RoutedRequest): void {
  // Express 4 throws if `app.router` is read.
  const router = app?.[express4Router] ?? app?.router
  trackParams(router)
  if (app?.response !== undefined) enterAtFiles(app.response)
  const [layer] = router?.stack ?? []
  if (layer === undefined) return
  const prototype = Object.getPrototypeOf(layer) as object & Handling
  if (patched.has(prototype)) return
  patched.add(prototype)
  for (const name of ['handleRequest', 'handle_request'] as const) replace(prototype, name, 0)
  for (const name of ['handleError', 'handle_error'] as const) replace(prototype, name, 1)
}

/** Methods of a response that reply later, and call a callback. */
const laterReplies = ['sendFile', 'sendfile', 'download', 'render'] as const

/** Runs these methods in the unit of the response, regardless of the code that calls them. */
function enterAtFiles(response: Record<string, unknown>): void {
  if (patched.has(response)) return
  patched.add(response)
  for (const name of laterReplies) {
    const original = response[name] as Handle | undefined
    if (typeof original !== 'function') continue
    response[name] = new Proxy(original, {
      apply: (method, receiver: object, args: never[]) => {
        const exchange = exchangeOf(receiver)
        return exchange === undefined
          ? Reflect.apply(method, receiver, args)
          : exchange.enter(method, receiver, ...args)
      },
    })
  }
}

function replace(prototype: Handling, name: keyof Handling, requestAt: 0 | 1): void {
  const original = prototype[name] as ((this: Layer, ...args: unknown[]) => unknown) | undefined
  if (typeof original !== 'function') return
  const method = function (this: Layer, ...args: unknown[]): unknown {
    const request = args[requestAt] as RoutedRequest
    const exchange = exchangeOf(request)
    if (exchange === undefined) return original.apply(this, args)
    if (this.route === undefined) enterMount(request)
    // A request of Fastify has the name of its own route.
    else if (request.requestScope !== undefined)
      nameAfterRoute(exchange, request, basePattern(request) + String(this.route.path))
    const layer = (this[trackedKey] ??= trackedLayer(this))
    return exchange.isCurrent ? original.apply(layer, args) : exchange.enter(original, layer, ...args)
  }
  prototype[name] = keepShape(original, method)
}

/** The same layer with a handle that is observed. The layer itself is unchanged: programs compare and replace handles. */
function trackedLayer(layer: Layer): Layer {
  if (layer.route !== undefined) return layer
  // As Express decides what is an error handler.
  const requestAt = layer.handle.length === 4 ? 1 : 0
  const track = isRouter(layer) ? routerInUnit(layer) : handleInUnit(describe(layer), 'handleRequest' in layer)
  const handle = function (this: unknown, ...args: unknown[]): unknown {
    const exchange = exchangeOf(args[requestAt] as RoutedRequest) as Exchange
    const original = layer.handle as (...args: unknown[]) => unknown
    return track(exchange, (next) => original.call(this, ...args.slice(0, -1), next), args.at(-1) as Next)
  }
  return Object.create(layer, { handle: { value: keepShape(layer.handle, handle) } }) as Layer
}

/** Calls a layer's handle with a `next`. */
type Track = (exchange: Exchange, call: (next: Next) => unknown, next: Next) => unknown

const trackedParams = new WeakSet<Handle>()

/** Replaces the callbacks of `router.param`, which Express calls between two layers. */
function trackParams({ params = {} }: Partial<Router> = {}): void {
  for (const callbacks of Object.values(params)) {
    for (const [index, callback] of callbacks.entries()) {
      if (trackedParams.has(callback)) continue
      const replacement = new Proxy(callback, { apply: applyParam })
      trackedParams.add(replacement)
      callbacks[index] = replacement
    }
  }
}

function applyParam(callback: Handle, receiver: unknown, args: unknown[]): unknown {
  const [request, response, next, ...others] = args as [RoutedRequest, object, Next, ...unknown[]]
  const exchange = exchangeOf(request)
  const continued = exchange === undefined ? next : nextInUnit(exchange, next)
  return Reflect.apply(callback, receiver, [request, response, continued, ...others])
}

/** A router can set a policy for its own routes: it ends when the request leaves the router. */
const routerInUnit =
  (layer: Layer): Track =>
  ({ scope }, call, next) => {
    trackParams(layer.handle)
    const { settings } = scope
    return call((error) => {
      scope.settings = settings
      next(error)
    })
  }

/** Express 4 ignores the promise of a layer. Here its rejection goes to the error handlers, as in Express 5. */
function handleInUnit(what: string, isAwaited: boolean): Track {
  const promised: Wait = { what, untilReply: false }
  const replying: Wait = { what, untilReply: true }
  return (exchange, call, next) => {
    const inUnit = nextInUnit(exchange, next)
    let isNext = false
    const continueInUnit: Next = (error) => {
      isNext = true
      exchange.end(replying)
      if (error && error !== 'route' && error !== 'router') exchange.scope.failed(error)
      inUnit(error)
    }
    let result: unknown
    try {
      result = call(continueInUnit)
    } catch (error) {
      exchange.scope.failed(error)
      throw error
    }
    if (isThenable(result)) {
      const settled = exchange.endWith(promised, result)
      if (isAwaited) settled.then(undefined, (error: unknown) => exchange.scope.failed(error))
      else settled.then(undefined, (error: unknown) => continueInUnit(error || new Error('Rejected promise')))
      return settled
    }
    if (!isNext) exchange.awaitReply(replying)
    return result
  }
}

/** A router, or an app that is mounted. */
function isRouter({ handle }: Layer): boolean {
  return 'stack' in handle || handle.name === 'mounted_app'
}

function describe({ handle, method }: Layer): string {
  const kind = method === undefined ? 'the middleware' : 'the handler'
  return handle.name === '' || handle.name === '<anonymous>' ? kind : `${kind} '${handle.name}'`
}
