import type { Server } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, onErrorHookHandler, onRequestHookHandler } from 'fastify'
import { type Checks, checkOptions, isFunction } from '../options.ts'
import { aPolicy, type Policy } from '../tasks/policy.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import type { UnitSettings } from '../tasks/unit.ts'
import {
  type Called,
  type HookName,
  hookNames,
  trackedErrorHandler,
  trackedHandler,
  trackedHook,
  trackedParser,
} from './fastify-hooks.ts'
import { trackExpress } from './fastify-middlewares.ts'
import type { RequestLoggers } from './fastify-logger.ts'
import type { Exchange } from './exchange.ts'
import type { Inbound } from './inbound.ts'

/** `config.logicalContext` of a route. */
export interface RouteContextOptions {
  /** The policy of tasks spawned in this route. Default: the plugin's. */
  policy?: Policy
}

const checks: Checks = { policy: aPolicy }

/** @throws {TypeError} for a route option that is unknown, of the wrong type, or not in the route's `config`. */
export function checkRoute(
  name: string,
  options: RouteContextOptions | undefined,
  route: object = {},
): RouteContextOptions {
  if ('logicalContext' in route) {
    throw new TypeError(
      `${name}: expected the option in { config: { logicalContext: … } }, got { logicalContext: … }, which Fastify ignores.`,
    )
  }
  return checkOptions(`config.logicalContext of ${name}`, options, checks)
}

const unitsKey: unique symbol = Symbol('logical-context.units')
const policyKey: unique symbol = Symbol('logical-context.policy')

/** What Fastify keeps of a route, or of requests without one; the hooks of all plugins around it are in it. */
interface Route extends Partial<Record<HookName, Called[] | null>> {
  readonly config?: { readonly url?: string; readonly logicalContext?: RouteContextOptions }
  /** In ms; missing in older versions of Fastify. */
  readonly handlerTimeout?: number
  handler: Called
  errorHandler: ErrorHandler
  contentTypeParser: { customParsers: Map<string, { fn: Called }> }
  server: FastifyInstance & { [policyKey]?: Policy }
  childLoggerFactory: FastifyInstance['childLoggerFactory']
  Request: unknown
  Reply: unknown
  [unitsKey]?: RouteUnits
}

/** The error handlers of the plugins around a route: each is the prototype of the next inner one. */
interface ErrorHandler {
  func?: Called
}

/** Sets the policy of the routes of a plugin, and of the plugins inside it. */
export function setPluginPolicy(fastify: FastifyInstance, policy: Policy): void {
  Object.assign(fastify, { [policyKey]: policy })
}

/** The settings and the names of the units of a route. */
class RouteUnits {
  readonly settings: UnitSettings
  /** Fastify's limit for the handler, 0 without one. */
  readonly handlerTimeoutMs: number
  readonly #url: string
  /** By method: a name is built once, not for each request. */
  readonly #names = new Map<string, string>()

  constructor(settings: UnitSettings, url: string, handlerTimeoutMs: number) {
    this.settings = settings
    this.handlerTimeoutMs = handlerTimeoutMs
    this.#url = url
  }

  nameFor(method: string): string {
    const known = this.#names.get(method)
    if (known !== undefined) return known
    const name = `${method} ${this.#url}`
    this.#names.set(method, name)
    return name
  }
}

/**
 * The units of a request's route. At the first request of a route, all its functions are tracked: by then Fastify has
 * collected those that were added before the plugin and after it.
 *
 * @throws {TypeError} for a route option that is unknown or of the wrong type.
 */
export function routeUnits(request: FastifyRequest, inbound: Inbound): RouteUnits {
  let route = routeKey === undefined ? undefined : (Reflect.get(request, routeKey) as Route | undefined)
  // Each copy of Fastify in the process has its own symbol.
  if (route === undefined) {
    routeKey = fastifySymbol(request, 'fastify.context')
    route = Reflect.get(request, routeKey) as Route
  }
  return route[unitsKey] ?? prepare(route, request.method, inbound)
}

let routeKey: symbol | undefined

function prepare(route: Route, method: string, inbound: Inbound): RouteUnits {
  trackExpress(route.server)
  // A URL that cannot be routed has no functions.
  if (isFunction(route.handler)) track(route)
  // For `reply.callNotFound()`.
  const notFound = Reflect.get(route, fastifySymbol(route, notFoundSymbol)) as Route | null
  if (notFound !== null) track(notFound)
  const { url = '(no route)', logicalContext: options } = route.config ?? {}
  const { policy } = checkRoute(`${method} ${url}`, options)
  const settings = inbound.settingsFor(policy ?? route.server[policyKey])
  return (route[unitsKey] = new RouteUnits(settings, url, route.handlerTimeout ?? 0))
}

function track(route: Route): void {
  for (const name of hookNames) {
    const hooks = route[name] ?? []
    // In place: Fastify is going through one of these lists.
    for (const [index, hook] of hooks.entries()) hooks[index] = trackedHook(name, hook)
  }
  route.handler = trackedHandler(route.handler)
  for (const parser of route.contentTypeParser.customParsers.values()) {
    if (!defaultParsers.includes(parser.fn.name)) parser.fn = trackedParser(parser.fn)
  }
  let { errorHandler } = route
  // The outermost one is Fastify's own; all apps share it.
  while (Object.getPrototypeOf(errorHandler) !== Object.prototype) {
    if (Object.hasOwn(errorHandler, 'func')) errorHandler.func = trackedErrorHandler(errorHandler.func as Called)
    errorHandler = Object.getPrototypeOf(errorHandler) as ErrorHandler
  }
}

/** Fastify compares these with its own functions. They call back at once. */
const defaultParsers: readonly string[] = ['defaultJsonParser', 'defaultPlainTextParser']

/**
 * Opens units for requests without a route also if the plugin is registered inside a plugin: they belong to the app,
 * which has none of our hooks. Fastify creates this route before the plugin is registered.
 */
export function adoptNotFound(
  fastify: FastifyInstance,
  loggers: RequestLoggers,
  onRequest: onRequestHookHandler,
  onError: onErrorHookHandler,
): void {
  const route = Reflect.get(fastify, fastifySymbol(fastify, notFoundSymbol)) as Route
  route.childLoggerFactory = loggers.attaching(route.childLoggerFactory)
  if (route.server.hasDecorator('requestScopes')) return
  route.server = fastify
  route.Request = Reflect.get(fastify, fastifySymbol(fastify, 'fastify.Request'))
  route.Reply = Reflect.get(fastify, fastifySymbol(fastify, 'fastify.Reply'))
  route.onRequest = [onRequest.bind(fastify) as Called, ...(route.onRequest ?? [])]
  route.onError = [onError.bind(fastify) as Called, ...(route.onError ?? [])]
}

/** Opens units for URLs that cannot be routed: Fastify calls its option `frameworkErrors` without any hook. */
export function trackFrameworkErrors(
  fastify: FastifyInstance,
  begin: (request: FastifyRequest, reply: FastifyReply, fn: () => void) => void,
): void {
  const options = Reflect.get(fastify, fastifySymbol(fastify, 'fastify.options')) as {
    frameworkErrors?: Called
    routerOptions?: object
  }
  // Versions without `routerOptions` do not read it again, and these are the program's own options.
  if (!isFunction(options.frameworkErrors) || options.routerOptions === undefined) return
  const handler = trackedErrorHandler(options.frameworkErrors)
  options.frameworkErrors = function frameworkErrors(error, request, reply) {
    begin(request as FastifyRequest, reply as FastifyReply, () => handler(error, request, reply))
  }
}

/** The servers besides `fastify.server` that Fastify listens on. */
export function otherServers(fastify: FastifyInstance): readonly Server[] {
  return Reflect.get(fastify, fastifySymbol(fastify, 'fastify.serverBindings')) as Server[]
}

/**
 * Runs the listeners of `request.signal` in the unit: Fastify aborts it in a timer that it set before our hook. For a
 * route with a limit; `onLimit` is called before the listeners.
 */
export function abortInUnit(request: FastifyRequest, exchange: Exchange, onLimit: () => void): void {
  const controller = Reflect.get(request, fastifySymbol(request, 'fastify.request.signal')) as AbortController
  const abort = (reason?: unknown) => {
    if ((reason as { code?: unknown } | undefined)?.code === 'FST_ERR_HANDLER_TIMEOUT') onLimit()
    AbortController.prototype.abort.call(controller, reason)
  }
  if (controller.signal.aborted) abort(controller.signal.reason)
  else controller.abort = (reason?: unknown) => exchange.enter(abort, undefined, reason)
}

const notFoundSymbol = 'fastify.404ContextKey'

/** A symbol of Fastify's, which it does not export. */
function fastifySymbol(object: object, description: string): symbol {
  for (let holder: object | null = object; holder !== null; holder = Object.getPrototypeOf(holder) as object | null) {
    const symbol = Object.getOwnPropertySymbols(holder).find((candidate) => candidate.description === description)
    if (symbol !== undefined) return symbol
  }
  throw new TypeError(`logicalContext: expected Fastify 5 with its symbol '${description}', found none.`)
}

/** Sets the attributes of a request's span, by the names of OpenTelemetry's conventions for HTTP. */
export function setAttributes(scope: RequestScope, request: FastifyRequest, { raw: response }: FastifyReply): void {
  const attributes = {
    'http.request.method': request.method,
    'http.route': request.routeOptions.url,
    // Without the query, which may have secrets; it may also begin with a semicolon.
    'url.path': request.url.split(/[?#;]/, 1)[0],
    'url.scheme': request.protocol,
    'network.protocol.version': request.raw.httpVersion,
    'user_agent.original': request.headers['user-agent'],
  }
  scope.observation?.setAttributes?.(attributes)
  // Added by @fastify/otel, which starts the request's span, and one for this hook, after the scope was opened.
  const { opentelemetry } = request as { opentelemetry?: () => { context?: unknown } | undefined }
  const context = opentelemetry?.call(request)?.context
  if (context !== undefined && context !== null) scope.observation?.standsIn?.(context)
  response.once('close', () => {
    if (!response.headersSent) return
    scope.observation?.setAttributes?.({ ...attributes, 'http.response.status_code': response.statusCode })
  })
}
