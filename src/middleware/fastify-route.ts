import type { FastifyBaseLogger, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { type Checks, checkOptions } from '../options.ts'
import { aPolicy, type Policy } from '../tasks/policy.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import type { UnitSettings } from '../tasks/unit.ts'
import type { Inbound } from './inbound.ts'

/** `config.logicalContext` of a route. */
export interface RouteContextOptions {
  /** The policy of tasks spawned in this route. Default: the plugin's. */
  policy?: Policy
}

const checks: Checks = { policy: aPolicy }

const settingsKey: unique symbol = Symbol('logical-context.settings')

/** Sets the settings of a route's units: with the route's own policy, or with the plugin's. */
export function setRouteSettings(route: RouteOptions, inbound: Inbound, pluginPolicy: Policy | undefined): void {
  const options = route.config?.logicalContext
  checkRoute(`${String(route.method)} ${route.url}`, options)
  const settings = inbound.settingsFor(options?.policy ?? pluginPolicy)
  route.config = { ...route.config, [settingsKey]: settings } as typeof route.config
}

export function routeSettings(config: object): UnitSettings | undefined {
  return (config as { [settingsKey]?: UnitSettings })[settingsKey]
}

/**
 * For requests of routes that were declared before the plugin, and for requests without a route. The first one with an
 * async handler logs a warning: a disconnect ends its unit while the handler runs.
 */
export class EarlyRoutes {
  readonly #inbound: Inbound
  readonly #log: FastifyBaseLogger
  #warned = false

  constructor(inbound: Inbound, log: FastifyBaseLogger) {
    this.#inbound = inbound
    this.#log = log
  }

  /** @throws {TypeError} for a route option that is unknown or of the wrong type. */
  settingsOf({ requestScope: scope, routeOptions }: FastifyRequest): UnitSettings {
    const { config, handler } = routeOptions
    if (!this.#warned && handler.constructor.name === 'AsyncFunction') {
      this.#warned = true
      this.#log.warn(
        `the handler of ${scope.name} was declared before logical-context, which cannot keep its values after a ` +
          'disconnect: await app.register(logicalContext) before the routes',
      )
    }
    const options = config.logicalContext
    if (options !== undefined) checkRoute(scope.name, options)
    return this.#inbound.settingsFor(options?.policy)
  }
}

function checkRoute(name: string, options: RouteContextOptions | undefined): void {
  checkOptions(`config.logicalContext of ${name}`, options, checks)
}

/** Sets the attributes of a request's span, by the names of OpenTelemetry's conventions for HTTP. */
export function setAttributes(scope: RequestScope, request: FastifyRequest, { raw: response }: FastifyReply): void {
  const attributes = {
    'http.request.method': request.method,
    'http.route': request.routeOptions.url,
    'url.path': request.url.split('?', 1)[0],
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
