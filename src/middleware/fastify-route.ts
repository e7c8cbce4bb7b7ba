import type { IncomingMessage } from 'node:http'
import type { RouteOptions } from 'fastify'
import { type Checks, checkOptions } from '../options.ts'
import { aPolicy, type Policy } from '../tasks/policy.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { isThenable } from '../tasks/thenable.ts'
import type { UnitSettings } from '../tasks/unit-settings.ts'
import type { Inbound } from './inbound.ts'

/** `config.logicalContext` of a route. */
export interface RouteContextOptions {
  /** For the tasks spawned in this route. Default: the plugin's. */
  policy?: Policy
}

const checks: Checks = { policy: aPolicy }

/** Where a raw request has its scope: it exists before Fastify's own request does. */
export const scopeKey: unique symbol = Symbol('logical-context.scope')
const settingsKey: unique symbol = Symbol('logical-context.settings')

export interface ScopedMessage extends IncomingMessage {
  [scopeKey]?: RequestScope
}

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
    // A plugin may call a handler with other arguments, as @fastify/websocket does.
    const scope = (request?.raw as ScopedMessage | undefined)?.[scopeKey]
    if (scope === undefined) return handler.call(this, request, reply)
    const result: unknown = scope.reenter(handler, this, request, reply)
    if (!isThenable(result)) return result
    // A foreign thenable is asked once: it may do its work anew at each `then`, as a query builder does.
    const promise = result instanceof Promise ? result : Promise.resolve(result)
    scope.retain()
    // Smaller than a closure, and a request may be in flight for long.
    const settled = handlerSettled.bind(scope)
    promise.then(settled, settled)
    return promise
  }
  tracked.add(trackedHandler)
  route.handler = trackedHandler
}

/** After a hang-up the seal waits for the handler alone; Fastify answers, and logs a failure, behind it. */
function handlerSettled(this: RequestScope): void {
  if (this.closed) setImmediate(() => this.release())
  else this.release()
}

const tracked = new WeakSet<RouteOptions['handler']>()
