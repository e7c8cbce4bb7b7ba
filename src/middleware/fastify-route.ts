import type { RouteOptions } from 'fastify'
import { type Checks, checkOptions } from '../options.ts'
import { aPolicy, type Policy } from '../tasks/policy.ts'
import { isThenable } from '../tasks/thenable.ts'
import type { UnitSettings } from '../tasks/unit-settings.ts'
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
  checkOptions(`config.logicalContext of ${String(route.method)} ${route.url}`, options, checks)
  const settings = inbound.settingsFor(options?.policy ?? pluginPolicy)
  route.config = { ...route.config, [settingsKey]: settings } as typeof route.config
}

export function routeSettings(config: object): UnitSettings | undefined {
  return (config as { [settingsKey]?: UnitSettings })[settingsKey]
}

/** Lets a route's handler run in its request's unit and hold off the seal. */
export function trackHandler(route: RouteOptions): void {
  const { handler } = route
  // A route for GET is seen a second time as one for HEAD.
  if (tracked.has(handler)) return
  const trackedHandler: typeof handler = function trackedHandler(request, reply) {
    const scope = scopeOf(request)
    if (scope === undefined) return handler.call(this, request, reply)
    const result: unknown = scope.reenter(handler, this, request, reply)
    return isThenable(result) ? holdUntilSettled(scope, result) : result
  }
  tracked.add(trackedHandler)
  route.handler = trackedHandler
}

const tracked = new WeakSet<RouteOptions['handler']>()
