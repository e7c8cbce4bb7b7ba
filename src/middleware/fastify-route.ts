import type { FastifyBaseLogger, FastifyRequest, RouteOptions } from 'fastify'
import { type Checks, checkOptions } from '../options.ts'
import { aPolicy, type Policy } from '../tasks/policy.ts'
import { isThenable } from '../tasks/thenable.ts'
import type { UnitSettings } from '../tasks/unit.ts'
import { scopeOf } from './fastify-message.ts'
import { holdUntilSettled } from './fastify-wait.ts'
import type { Inbound } from './inbound.ts'

/** `config.logicalContext` of a route. */
export interface RouteContextOptions {
  /** For the tasks spawned in this route. Default: the plugin's. */
  policy?: Policy
}

const checks: Checks = { policy: aPolicy }

const settingsKey: unique symbol = Symbol('logical-context.settings')

/** Gives a route the settings of its units: its own policy, or else the plugin's. */
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
 * For requests whose route nobody has prepared: it was declared before the plugin, or there is none. The first one whose
 * handler is async is told of: a client that hangs up ends its unit under it.
 */
export class EarlyRoutes {
  readonly #inbound: Inbound
  readonly #log: FastifyBaseLogger
  #told = false

  constructor(inbound: Inbound, log: FastifyBaseLogger) {
    this.#inbound = inbound
    this.#log = log
  }

  /** @throws {TypeError} for options of the route that are unknown or of the wrong type. */
  settingsOf({ requestScope: scope, routeOptions }: FastifyRequest): UnitSettings {
    const { config, handler } = routeOptions
    if (!this.#told && handler.constructor.name === 'AsyncFunction') {
      this.#told = true
      this.#log.warn(
        `the handler of ${scope.name} was declared before logical-context, which cannot hold off the end of its ` +
          'requests when a client hangs up: await app.register(logicalContext) before the routes',
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

/** Lets a route's handler run in its request's unit and hold off the seal. */
export function trackHandler(route: RouteOptions): void {
  const { handler } = route
  // A route for GET is seen a second time as one for HEAD.
  if (tracked.has(handler)) return
  const trackedHandler: typeof handler = function trackedHandler(request, reply) {
    const scope = scopeOf(request)
    if (scope === undefined) return handler.call(this, request, reply)
    const result: unknown = scope.runInSnapshot(handler, this, request, reply)
    return isThenable(result) ? holdUntilSettled(scope, result) : result
  }
  tracked.add(trackedHandler)
  route.handler = trackedHandler
}

const tracked = new WeakSet<RouteOptions['handler']>()
