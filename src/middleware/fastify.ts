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
import { closeWithEvents, linkKey, type ScopedMessage, scopeKey, scopeOf } from './exchange.ts'
import { trackHandler, trackHooks, trackRouteHooks } from './fastify-hooks.ts'
import {
  EarlyRoutes,
  type RouteContextOptions,
  routeSettings,
  setAttributes,
  setRouteSettings,
} from './fastify-route.ts'
import { inboundChecks, type InboundOptions } from './inbound-options.ts'
import { Inbound } from './inbound.ts'
import { type CloseReport, drainAtClose, type UnfinishedRequest } from './server-close.ts'

export interface LogicalContextOptions extends InboundOptions {
  /** The header of the reply that has the request id, or false for none. Default: `x-request-id`. */
  replyIdHeader?: string | false
  /** How long `close()` waits for requests and tasks before it aborts their signals, in milliseconds. Default: 10,000. */
  drainTimeoutMs?: number
  /** Called at the end of `close()` with what finished and what was left, after the report was logged. */
  onDrained?: (report: CloseReport) => void
}

export type { CloseReport, RouteContextOptions, UnfinishedRequest }

declare module 'fastify' {
  interface FastifyRequest {
    /** The scope of this request: its signal, its values, and `run` to run code in it. */
    readonly requestScope: RequestScope
  }
  interface FastifyInstance {
    /** The task group and the counters of the plugin `logical-context`. */
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
/** For a registration inside a plugin of an app that is registered already. */
const innerChecks: Checks = { policy: aPolicy }

const plugin: FastifyPluginAsync<LogicalContextOptions> = async (fastify, options) => {
  if (fastify.hasDecorator('requestScopes')) {
    checkOptions('logicalContext, registered a second time', options, innerChecks)
    const { policy } = options
    if (policy !== undefined)
      fastify.addHook('onRoute', (route) => setRouteSettings(route, fastify.requestScopes, policy))
    return
  }
  checkOptions('logicalContext', options, checks)
  if (fastify.initialConfig.requestIdHeader) {
    throw new TypeError(
      "logicalContext: expected Fastify without its option 'requestIdHeader', which accepts any id from any client. " +
        `Omit it, and set the header here: propagators: [xRequestId({ header: '${fastify.initialConfig.requestIdHeader}' })].`,
    )
  }
  const { replyIdHeader = 'x-request-id', drainTimeoutMs = 10_000, onDrained, ...inboundOptions } = options
  const defaults: InboundOptions = {
    onError: (error, task) => fastify.log.error({ err: error }, `task '${task.name}' failed`),
    onRefusal: (refusal) =>
      fastify.log.warn(refusal, `${refusal.field} of ${refusal.address} ${refusal.reason}: ${refusal.hint}`),
    onLateUse: (use) => fastify.log.warn(use, `late ${use.operation} of '${use.variable}'`),
  }
  const inbound = new Inbound({ ...defaults, ...inboundOptions }, 'logicalContext')
  const requests = new InFlight<Link<RequestScope>>()
  const earlyRoutes = new EarlyRoutes(inbound, fastify.log)

  fastify.decorate('requestScopes', inbound)
  fastify.decorateRequest('requestScope', { getter: ownScope })

  // Fastify generates the id before it logs the request: the scope must exist by then.
  const scopeFor = (message: ScopedMessage) =>
    (message[scopeKey] ??= inbound.open(`${message.method} ${message.url}`, message))
  fastify.setGenReqId((message: ScopedMessage) => scopeFor(message).context.get(requestId) ?? '')
  // The logger of `logger: false` returns itself as its child. Fastify validates a factory's logger at each request.
  if (fastify.log.child({ reqId: '' }) !== fastify.log) {
    fastify.setChildLoggerFactory((logger, bindings, loggerOptions, message: ScopedMessage) => {
      const child = logger.child(bindings, loggerOptions)
      // Fastify sometimes logs outside any context: the bridge then reads the unit of the logger. A logger that returns
      // itself belongs to no request.
      if (child !== logger) (child as { [cellKey]?: Cell })[cellKey] = scopeFor(message).cell
      return child
    })
  }

  fastify.addHook('onRoute', (route) => {
    setRouteSettings(route, inbound, undefined)
    trackHandler(route)
    trackRouteHooks(route)
  })
  fastify.addHook('onRequest', (request: FastifyRequest & { raw: ScopedMessage }, reply, done) => {
    // With a plugin that generates its own ids, the scope is opened here.
    const scope = scopeFor(request.raw)
    const { url, config } = request.routeOptions
    scope.name = `${request.method} ${url ?? '(no route)'}`
    scope.settings = routeSettings(config) ?? earlyRoutes.settingsOf(request)
    if (scope.observation !== undefined) setAttributes(scope, request, reply)
    // A request that is routed again, for example by `fastify.routing`, continues in its unit.
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
  // An earlier hook is still running, or it replied: in the latter case nothing else closes the scope.
  fastify.server.on('request', (message: ScopedMessage, response: ServerResponse) => {
    const scope = message[scopeKey]
    if (scope === undefined || message[linkKey] !== undefined) return
    response.once('close', () => {
      if (message[linkKey] === undefined && response.writableEnded) scope.close()
    })
  })
  // These can start outside the unit: from a timer that was set before `onRequest`, or on the connection.
  // `onRequestAbort` does not: it starts with the request's `close`.
  fastify.addHook('onError', (request, _reply, error, done) => {
    if (error.code === 'FST_ERR_HANDLER_TIMEOUT') abortAtLimit(request, request.routeOptions.handlerTimeout)
    request.requestScope.observation?.failed?.(error)
    request.requestScope.runInSnapshot(done, undefined)
  })
  // For `onTimeout`, Fastify keeps the last request of an idle connection. With an `onResponse` hook it releases it.
  const timeoutMs =
    fastify.initialConfig.connectionTimeout || (fastify.server as Partial<typeof fastify.server>).timeout
  if (timeoutMs) {
    fastify.addHook('onTimeout', (request, _reply, done) => {
      abortAtLimit(request, timeoutMs)
      request.requestScope.runInSnapshot(done, undefined)
    })
    fastify.addHook('onResponse', (_request, _reply, done) => done())
  }

  // After our own hooks: these end at once.
  trackHooks(fastify)
  drainAtClose(fastify, { group: inbound.group, requests, drainTimeoutMs, onDrained })
}

/**
 * A Fastify plugin that opens a unit for every request: it has values in all hooks, the handler and the events of the
 * raw request and response; its tasks outlive the reply; a close waits for them. Register it before the routes, and
 * before plugins whose hooks read the context. Registered again inside a plugin, it sets the policy of that plugin's
 * routes.
 *
 * @throws {TypeError} at registration, for an option that is unknown or of the wrong type, here or in a route.
 */
export const logicalContext: FastifyPluginAsync<LogicalContextOptions> = fp(plugin, {
  name: 'logical-context',
  fastify: '>=5.12.2 <6',
})

export default logicalContext

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
