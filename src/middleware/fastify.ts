import type { ServerResponse } from 'node:http'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type Cell, cellKey } from '../context/cell.ts'
import { TimeoutError } from '../errors.ts'
import { aFunction, anAmount, anyOf, type Checks, checkOptions } from '../options.ts'
import { InFlight, Link } from '../tasks/linked-list.ts'
import { aPolicy } from '../tasks/policy.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { requestId } from '../variables/request-id.ts'
import type { CloseReport, UnfinishedRequest } from './close-report.ts'
import { drainAtClose } from './drain-at-close.ts'
import { closeWithEvents } from './events.ts'
import { setAttributes } from './fastify-facts.ts'
import { holdHooks, holdRouteHooks } from './fastify-hold.ts'
import { linkKey, type ScopedMessage, scopeKey, scopeOf } from './fastify-message.ts'
import {
  EarlyRoutes,
  type RouteContextOptions,
  routeSettings,
  setRouteSettings,
  trackHandler,
} from './fastify-route.ts'
import { Inbound, inboundChecks, type InboundOptions } from './inbound.ts'

export interface LogicalContextOptions extends InboundOptions {
  /** The header of the reply that bears the request id, or false for none. Default: `x-request-id`. */
  replyIdHeader?: string | false
  /** How long `close()` waits for requests and tasks before it aborts their signals, in milliseconds. Default: 10,000. */
  drainTimeoutMs?: number
  /** Told at the end of `close()` what was waited for and what was left, after it has been logged. */
  onDrained?: (report: CloseReport) => void
}

export type { CloseReport, RouteContextOptions, UnfinishedRequest }

declare module 'fastify' {
  interface FastifyRequest {
    /** The life of this request: its signal, its values, a way to run code in it. */
    readonly requestScope: RequestScope
  }
  interface FastifyInstance {
    /** What the plugin `logical-context` counts and owns. */
    readonly requestScopes: Inbound
  }
  interface FastifyContextConfig {
    logicalContext?: RouteContextOptions
  }
}

const checks: Checks = {
  ...inboundChecks,
  replyIdHeader: anyOf('the name of a header or false', (value) => value === false || isHeaderName(value)),
  drainTimeoutMs: anAmount,
  onDrained: aFunction,
}
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
  if (fastify.hasDecorator('requestScopes')) {
    checkOptions('logical-context, registered within another one', options, innerChecks)
    const { policy } = options
    if (policy !== undefined)
      fastify.addHook('onRoute', (route) => setRouteSettings(route, fastify.requestScopes, policy))
    return
  }
  checkOptions('logical-context', options, checks)
  if (fastify.initialConfig.requestIdHeader) {
    throw new TypeError(
      "logical-context: expected Fastify without its option 'requestIdHeader', which takes any id from anybody. " +
        `Leave it out, and name the header here: propagators: [xRequestId({ header: '${fastify.initialConfig.requestIdHeader}' })].`,
    )
  }
  const { replyIdHeader = 'x-request-id', drainTimeoutMs = 10_000, onDrained, ...inboundOptions } = options
  const inbound = new Inbound({
    onError: (error, task) => fastify.log.error({ err: error }, `task '${task.name}' has failed`),
    onRefusal: (refusal) =>
      fastify.log.warn(refusal, `${refusal.field} of ${refusal.address} ${refusal.reason}: ${refusal.hint}`),
    onLateUse: (use) => fastify.log.warn(use, `late ${use.operation} of '${use.variable}'`),
    ...inboundOptions,
  })
  const requests = new InFlight<Link<RequestScope>>()
  const earlyRoutes = new EarlyRoutes(inbound, fastify.log)

  fastify.decorate('requestScopes', inbound)
  fastify.decorateRequest('requestScope', { getter: ownScope })

  // The first thing Fastify asks of a plugin, before it logs the request: the scope's identity must be there by then.
  const scopeFor = (message: ScopedMessage) =>
    (message[scopeKey] ??= inbound.open(`${message.method} ${message.url}`, message))
  fastify.setGenReqId((message: ScopedMessage) => scopeFor(message).context.get(requestId) ?? '')
  // The logger of `logger: false` is its own child; for a factory Fastify would check it at each request.
  if (fastify.log.child({ reqId: '' }) !== fastify.log) {
    fastify.setChildLoggerFactory((logger, bindings, loggerOptions, message: ScopedMessage) => {
      const child = logger.child(bindings, loggerOptions)
      // Fastify logs outside any context at times; a logger that knows its unit loses nothing then. One that is its own
      // child is no request's.
      if (child !== logger) (child as { [cellKey]?: Cell })[cellKey] = scopeFor(message).cell
      return child
    })
  }

  fastify.addHook('onRoute', (route) => {
    setRouteSettings(route, inbound, undefined)
    trackHandler(route)
    holdRouteHooks(route)
  })
  fastify.addHook('onRequest', (request: FastifyRequest & { raw: ScopedMessage }, reply, done) => {
    // Where a plugin generates its own ids, this is the first we hear of the request.
    const scope = scopeFor(request.raw)
    const { url, config } = request.routeOptions
    scope.name = `${request.method} ${url ?? '(no route)'}`
    scope.settings = routeSettings(config) ?? earlyRoutes.settingsOf(request)
    if (scope.observation !== undefined) setAttributes(scope, request, reply)
    // A request that is routed again, by `fastify.routing` for one, goes on in the unit that it has.
    if (request.raw[linkKey] === undefined) {
      const link = new Link(scope)
      request.raw[linkKey] = link
      requests.add(link)
      scope.onSeal(() => requests.delete(link))
      closeWithEvents(scope, request.raw, reply.raw)
    }
    if (replyIdHeader !== false) reply.header(replyIdHeader, scope.context.get(requestId))
    scope.run(() => {
      scope.captureSnapshot()
      done()
    })
  })
  // A hook before ours has the request still, or has answered it: then nothing else ends the unit.
  fastify.server.on('request', (message: ScopedMessage, response: ServerResponse) => {
    const scope = message[scopeKey]
    if (scope === undefined || message[linkKey] !== undefined) return
    response.once('close', () => {
      if (message[linkKey] === undefined && response.writableEnded) scope.close()
    })
  })
  // These may begin outside: with a timer that was set before onRequest, or on the connection. `onRequestAbort` does not:
  // it begins with the request's `close`.
  fastify.addHook('onError', (request, _reply, error, done) => {
    if (error.code === 'FST_ERR_HANDLER_TIMEOUT') abortAtLimit(request, request.routeOptions.handlerTimeout)
    request.requestScope.observation?.failed?.(error)
    request.requestScope.runInSnapshot(done, undefined)
  })
  // For this one Fastify keeps the last request of an idle connection, and lets go of it only for a hook `onResponse`.
  const timeoutMs =
    fastify.initialConfig.connectionTimeout || (fastify.server as Partial<typeof fastify.server>).timeout
  if (timeoutMs) {
    fastify.addHook('onTimeout', (request, _reply, done) => {
      abortAtLimit(request, timeoutMs)
      request.requestScope.runInSnapshot(done, undefined)
    })
    fastify.addHook('onResponse', (_request, _reply, done) => done())
  }

  // Not ours: they end at once.
  holdHooks(fastify)
  drainAtClose(fastify, { group: inbound.group, requests, drainTimeoutMs, onDrained })
}

export default fp(plugin, { name: 'logical-context', fastify: '>=5.12.2 <6' })

function abortAtLimit({ requestScope: scope }: FastifyRequest, limitMs = 0): void {
  scope.abort(new TimeoutError(scope.name, limitMs))
}

function isHeaderName(value: unknown): boolean {
  return typeof value === 'string' && /^[\w!#$%&'*+.^`|~-]+$/.test(value)
}

function ownScope(this: FastifyRequest): RequestScope {
  const scope = scopeOf(this)
  if (scope === undefined) throw new TypeError('request.requestScope: this request was not opened by logical-context.')
  return scope
}
