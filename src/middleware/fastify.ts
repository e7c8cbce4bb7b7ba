import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { cellKey } from '../context/cell.ts'
import { aFunction, anAmount, type Checks, checkOptions } from '../options.ts'
import type { DrainReport } from '../tasks/drain.ts'
import { aPolicy } from '../tasks/policy.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { requestId } from '../variables/request-id.ts'
import { drainAtClose } from './drain-at-close.ts'
import { closeWithEvents } from './events.ts'
import {
  type RouteContextOptions,
  routeSettings,
  type ScopedMessage,
  scopeKey,
  setRouteSettings,
  trackHandler,
} from './fastify-route.ts'
import { InFlight } from './in-flight.ts'
import { Inbound, inboundChecks, type InboundOptions } from './inbound.ts'

export interface LogicalContextOptions extends InboundOptions {
  /** How long `close()` waits for handlers and tasks, in milliseconds. Default: 10,000. */
  drainTimeoutMs?: number
  /** Told at the end of `close()` what was waited for. Default: a log line, a warning for each unfinished task. */
  onDrained?: (report: DrainReport) => void
}

export type { RouteContextOptions }

declare module 'fastify' {
  interface FastifyRequest {
    /** The life of this request: its signal, its values, a way to run code in it. */
    readonly scope: RequestScope
  }
  interface FastifyInstance {
    /** What the plugin `logical-context` counts and owns. */
    readonly logicalContext: Inbound
  }
  interface FastifyContextConfig {
    logicalContext?: RouteContextOptions
  }
}

const checks: Checks = { ...inboundChecks, drainTimeoutMs: anAmount, onDrained: aFunction }
/** For a registration within another one's reach. */
const innerChecks: Checks = { policy: aPolicy }

/**
 * Gives every request a unit of its own: values in all hooks, the handler and the events of the raw request and
 * response; tasks that outlive the reply; a close that waits for them. Register it before the routes and before
 * plugins whose hooks read the context. Registered again within a plugin, it sets the policy of that plugin's routes.
 *
 * @throws {TypeError} at registration, for an option that is unknown or of the wrong type, here or in a route.
 */
const plugin: FastifyPluginAsync<LogicalContextOptions> = async (fastify, options) => {
  if (fastify.hasDecorator('logicalContext')) {
    checkOptions('logical-context, registered within another one', options, innerChecks)
    fastify.addHook('onRoute', (route) => setRouteSettings(route, fastify.logicalContext, options.policy))
    return
  }
  checkOptions('logical-context', options, checks)
  const { drainTimeoutMs = 10_000, onDrained = logReport(fastify), ...inboundOptions } = options
  const inbound = new Inbound({
    onError: (error, task) => fastify.log.error({ err: error }, `task '${task.name}' has failed`),
    onRefusal: (refusal) =>
      fastify.log.warn(refusal, `${refusal.field} of ${refusal.address} ${refusal.complaint}: ${refusal.hint}`),
    onLateUse: (use) => fastify.log.warn(use, `late ${use.operation} of '${use.variable}'`),
    ...inboundOptions,
  })
  const requests = new InFlight()

  fastify.decorate('logicalContext', inbound)
  fastify.decorateRequest('scope', { getter: scopeOf })

  // The first thing Fastify asks of a plugin, before it logs the request: the scope's identity must be there by then.
  fastify.setGenReqId((message: ScopedMessage) => {
    const scope = inbound.open(`${message.method} ${message.url}`, message)
    message[scopeKey] = scope
    return scope.context.get(requestId) ?? ''
  })
  fastify.setChildLoggerFactory((logger, bindings, loggerOptions, message: ScopedMessage) => {
    const child = logger.child(bindings, loggerOptions)
    // Fastify logs outside any context at times; a logger that knows its unit loses nothing then. The logger of
    // `logger: false` is its own child, and no request's.
    if (child !== logger) Object.assign(child, { [cellKey]: message[scopeKey]?.cell })
    return child
  })

  fastify.addHook('onRoute', (route) => {
    setRouteSettings(route, inbound, undefined)
    trackHandler(route)
  })
  fastify.addHook('onRequest', (request, reply, done) => {
    const { scope } = request
    const { url, config } = request.routeOptions
    scope.name = `${request.method} ${url ?? '(no route)'}`
    scope.settings = routeSettings(config) ?? scope.settings
    requests.begin()
    scope.onSealed = () => requests.end()
    closeWithEvents(scope, request.raw, reply.raw)
    scope.run(done)
  })
  // These may begin outside: with a timer that was set before onRequest, or on the connection.
  fastify.addHook('onError', (request, _reply, _error, done) => request.scope.reenter(done, undefined))
  fastify.addHook('onTimeout', (request, _reply, done) => request.scope.reenter(done, undefined))
  fastify.addHook('onRequestAbort', (request, done) => request.scope.reenter(done, undefined))

  drainAtClose(fastify, inbound.group, requests, drainTimeoutMs, onDrained)
}

export default fp(plugin, { name: 'logical-context', fastify: '>=5.12.2 <6' })

function scopeOf(this: FastifyRequest): RequestScope {
  const scope = (this.raw as ScopedMessage)[scopeKey]
  if (scope === undefined) throw new TypeError('request.scope: this request was not opened by logical-context.')
  return scope
}

function logReport(fastify: FastifyInstance): (report: DrainReport) => void {
  return ({ finished, unfinished, elapsedMs }) => {
    const facts = { finished, unfinished: unfinished.length, elapsedMs: Math.round(elapsedMs) }
    fastify.log.info(facts, 'background tasks drained')
    for (const { id, name, policy, context, ended } of unfinished) {
      const task = { task_name: name, task_id: id, policy, request_id: context.get(requestId), ended }
      fastify.log.warn(task, `task '${name}' had not finished when the server closed`)
    }
  }
}
