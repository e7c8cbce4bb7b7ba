import type { IncomingMessage } from 'node:http'
import type {
  FastifyInstance,
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
  onErrorHookHandler,
  onRequestHookHandler,
} from 'fastify'
import { peek } from '../context/context-var.ts'
import { aSyncFunction, keepShape } from '../callbacks.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { TimeoutError } from '../errors.ts'
import { anyOf, anything, checkArgument, type Checks, checkOptions, isFunction, show } from '../options.ts'
import { aPolicy } from '../tasks/policy.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { requestId } from '../variables/request-id.ts'
import { traceContext } from '../variables/trace-context.ts'
import { exchangeOf } from './exchange.ts'
import { Exchanges } from './exchanges.ts'
import { trackReplies } from './fastify-hooks.ts'
import { logOf, RequestLoggers } from './fastify-logger.ts'
import { trackMiddlewares } from './fastify-middlewares.ts'
import {
  abortInUnit,
  adoptNotFound,
  checkRoute,
  otherServers,
  type RouteContextOptions,
  routeUnits,
  setAttributes,
  setPluginPolicy,
  trackFrameworkErrors,
} from './fastify-route.ts'
import { beginWith } from './fastify-values.ts'
import { Inbound } from './inbound.ts'
import { drainAtClose } from './server-close.ts'
import type { CloseReport, UnfinishedRequest } from './server-drain.ts'
import { serverChecks, serverDefaults, type ServerOptions } from './server-options.ts'
import { addServerTiming } from './server-timing.ts'
import { unsettledReport } from './unsettled-report.ts'

export type { ServerOptions }

/** Options of the Fastify plugin. */
export interface LogicalContextOptions extends ServerOptions {
  /**
   * Returns the values that the unit of a request starts with, in addition to what the headers provide; of two values of
   * a variable, this one counts. Called once for each request, in its unit, before all hooks but those added before the
   * plugin. If it throws, the request fails. Default: none.
   */
  values?: (request: FastifyRequest) => LogicalContext | undefined
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

const aFastify = anyOf('a Fastify instance, from app.register', (value) =>
  isFunction((value as Partial<FastifyInstance> | undefined)?.hasDecorator),
)

/** Fastify passes the options of `register` to every plugin, and adds these. */
const fastifyChecks: Checks = { prefix: anything, logLevel: anything, logSerializers: anything }

const checks: Checks = { ...serverChecks, values: aSyncFunction, ...fastifyChecks }
/** For a registration inside a plugin of an app that is registered already. */
const innerChecks: Checks = { policy: aPolicy, ...fastifyChecks }

/** A raw request: it exists before Fastify's own request. */
interface ScopedMessage extends IncomingMessage {
  [scopeKey]?: RequestScope
}
const scopeKey: unique symbol = Symbol('logical-context.scope')

const plugin: FastifyPluginAsync<LogicalContextOptions> = async (fastify, options) => {
  checkArgument('app.register(logicalContext, options)', aFastify, fastify)
  if (fastify.hasDecorator('requestScopes')) return registerInside(fastify, options)
  const {
    replyIdHeader = serverDefaults.replyIdHeader,
    serverTiming = false,
    drainTimeoutMs = serverDefaults.drainTimeoutMs,
    settleTimeoutMs = serverDefaults.settleTimeoutMs,
    onDrained,
    values,
    ...rest
  } = checkOptions('logicalContext', options, checks)
  checkFastify(fastify)
  const log = logOf(fastify)
  const inbound = new Inbound(without(rest, fastifyChecks), { owner: 'logicalContext', log })
  const exchanges = new Exchanges(settleTimeoutMs, unsettledReport(log, settleTimeoutMs))
  const loggers = new RequestLoggers(fastify, (message) => log.warn({}, message))

  fastify.decorate('requestScopes', inbound)
  fastify.decorateRequest('requestScope', { getter: ownScope })

  // The route is not known yet, and a path can contain anything: the name is the method.
  const scopeFor = (message: ScopedMessage, generate?: GenerateId) =>
    (message[scopeKey] ??= inbound.open(message.method ?? '', message, generate))

  /** For a request whose id another plugin's generator created: Fastify has not called ours. */
  const scopeWithIdOf = ({ raw, id }: FastifyRequest) => scopeFor(raw, () => id)

  /** Opens the exchange of a request, and runs `fn` in its unit. */
  const begin = (request: FastifyRequest, reply: FastifyReply, fn: (error?: Error) => void) => {
    const message: ScopedMessage = request.raw
    const scope = message[scopeKey] ?? scopeWithIdOf(request)
    loggers.begun(request, reply, scope.cell)
    // A request that is routed again, for example by `fastify.routing`, continues in its unit.
    const known = exchangeOf(message)
    const isNew = known === undefined
    const exchange = known ?? exchanges.open(scope, message, reply.raw)
    const units = routeUnits(request, inbound)
    scope.name = units.nameFor(request.method)
    scope.settings = units.settings
    if (scope.observation !== undefined) setAttributes(scope, request, reply)
    if (replyIdHeader !== false) reply.header(replyIdHeader, peek(requestId, scope.cell))
    const trace = serverTiming && isNew ? peek(traceContext, scope.cell) : undefined
    if (trace !== undefined) addServerTiming(reply.raw, trace)
    const { handlerTimeoutMs } = units
    if (handlerTimeoutMs > 0) {
      abortInUnit(request, exchange, () => abortAtLimit(scope, handlerTimeoutMs))
    }
    if (values === undefined || !isNew) scope.begin(fn)
    else beginWith(scope, values, request, fn)
  }

  generateIds(fastify, (message, generate) => {
    const { cell } = scopeFor(message, generate)
    loggers.expect(cell)
    return peek(requestId, cell) as string
  })
  /** Without a hook that can fail the request: what `values` throws can only be logged. */
  const beginLogged = (request: FastifyRequest, reply: FastifyReply, fn: () => void) =>
    begin(request, reply, (error) => {
      if (error !== undefined) log.error({ err: error }, "logicalContext: option 'values' failed")
      fn()
    })
  // A hook that was added before ours can reply.
  trackReplies(fastify, replyIdHeader, (reply, fn) => {
    if (scopeOf(reply.request) !== undefined) beginLogged(reply.request, reply, fn)
    else fn()
  })
  trackFrameworkErrors(fastify, beginLogged)
  trackMiddlewares(fastify)
  fastify.addHook('onRoute', (route) => {
    const { method, url, config, childLoggerFactory } = route
    checkRoute(`${String(method)} ${url}`, config?.logicalContext, route)
    if (isFunction(childLoggerFactory)) route.childLoggerFactory = loggers.attaching(childLoggerFactory)
  })

  const onRequest: onRequestHookHandler = function logicalContextOnRequest(request, reply, done) {
    begin(request, reply, done)
  }
  // It can start outside the unit: after `handlerTimeout`, or in a stream.
  const onError: onErrorHookHandler = function logicalContextOnError(request, _reply, error, done) {
    const exchange = exchangeOf(request.raw)
    if (exchange === undefined) return done()
    exchange.scope.failed(error)
    exchange.enter(done, undefined)
  }
  fastify.addHook('onRequest', onRequest)
  fastify.addHook('onError', onError)
  // For `onTimeout`, Fastify keeps the last request of an idle connection. With an `onResponse` hook it releases it.
  const timeoutMs =
    fastify.initialConfig.connectionTimeout || (fastify.server as Partial<typeof fastify.server>).timeout
  if (timeoutMs) {
    fastify.addHook('onTimeout', function logicalContextOnTimeout(request, _reply, done) {
      const exchange = exchangeOf(request.raw)
      if (exchange !== undefined) abortAtLimit(exchange.scope, timeoutMs)
      done()
    })
    fastify.addHook('onResponse', function logicalContextOnResponse(_request, _reply, done) {
      done()
    })
  }
  fastify.addHook('onReady', async () => adoptNotFound(fastify, loggers, onRequest, onError))
  drainAtClose(fastify, {
    group: inbound.group,
    exchanges,
    drainTimeoutMs,
    onDrained,
    log,
    // Without an exchange, a hook that was added before ours answered on the raw response.
    onResponseClosed({ req, writableEnded }) {
      const message: ScopedMessage = req
      if (exchangeOf(message) === undefined && writableEnded) message[scopeKey]?.close()
    },
    onResponseLost: (response) => exchangeOf(response)?.connectionClosed(),
    otherServers: () => otherServers(fastify),
  })
}

/**
 * A Fastify plugin that opens a unit for every request: it has values in all hooks, the handler and the events of the
 * raw request and response; its tasks outlive the reply; a close waits for them. Register it before the plugins whose
 * `onRequest` hooks read the context. Registered again inside a plugin, it sets the policy of that plugin's routes.
 *
 * @throws {TypeError} at registration, for an option that is unknown or of the wrong type, here or in a route.
 */
export const logicalContext: FastifyPluginAsync<LogicalContextOptions> = Object.assign(plugin, {
  // As `fastify-plugin` sets them.
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'logical-context',
  [Symbol.for('plugin-meta')]: { name: 'logical-context', fastify: '5.x' },
})

export default logicalContext

/** Sets the policy of the routes of a plugin, inside an app or a plugin that is registered already. */
function registerInside(fastify: FastifyInstance, options: LogicalContextOptions): void {
  const owner = 'logicalContext, registered a second time'
  const known: unknown = fastify.requestScopes
  if (!(known instanceof Inbound)) {
    throw new TypeError(`logicalContext: expected no other decorator 'requestScopes', got ${show(known)}.`)
  }
  const { policy } = checkOptions(owner, options, innerChecks)
  if (policy === undefined) return
  if (!Object.hasOwn(fastify, 'requestScopes')) return setPluginPolicy(fastify, policy)
  throw new TypeError(`${owner} on the same instance: set its option 'policy' in the first registration.`)
}

/** @throws {TypeError} for options of Fastify that cannot be used. */
function checkFastify(fastify: FastifyInstance): void {
  const header = fastify.initialConfig.requestIdHeader
  if (header) {
    const propagators = `[w3cTraceContext(), w3cBaggage(), xRequestId({ header: '${header}' }), requestTimeout()]`
    throw new TypeError(
      "logicalContext: expected Fastify without its option 'requestIdHeader', which accepts any id from any client. " +
        `Omit it, and set the header here: { propagators: ${propagators}, replyIdHeader: '${header}' }.`,
    )
  }
  checkArgument("logicalContext: Fastify's option 'genReqId'", aSyncFunction, generatorOf(fastify))
}

type GenerateId = (message: IncomingMessage) => string

/** Makes Fastify's ids those of the units. A generator of the program creates the ids of requests without a usable id. */
function generateIds(
  fastify: FastifyInstance,
  idFor: (message: IncomingMessage, generate?: GenerateId) => string,
): void {
  const { setGenReqId } = fastify
  const generator = generatorOf(fastify)
  const useGenerator = function (this: FastifyInstance, generate?: GenerateId): FastifyInstance {
    const generateText = generate === undefined ? undefined : withNumbersAsText(generate)
    const idOf = (message: IncomingMessage) => idFor(message, generateText)
    return setGenReqId.call(this, keepShape(generate ?? generator, idOf))
  }
  useGenerator.call(fastify, generator.name === 'defaultGenReqId' ? undefined : generator)
  fastify.setGenReqId = keepShape(setGenReqId, function (this: FastifyInstance, generate: GenerateId) {
    checkArgument('setGenReqId', aSyncFunction, generate)
    return useGenerator.call(this, generate)
  })
}

/** Fastify accepts a counter as a generator. */
function withNumbersAsText(generate: (message: IncomingMessage) => unknown): GenerateId {
  return (message) => {
    const id = generate(message)
    return (typeof id === 'number' ? String(id) : id) as string
  }
}

/** The generator of Fastify's option `genReqId`, or its default. Its types omit the property. */
function generatorOf(fastify: FastifyInstance): GenerateId {
  return (fastify as FastifyInstance & { genReqId: GenerateId }).genReqId
}

function scopeOf({ raw }: FastifyRequest): RequestScope | undefined {
  return (raw as ScopedMessage)[scopeKey]
}

function ownScope(this: FastifyRequest): RequestScope {
  const scope = scopeOf(this)
  if (scope === undefined) throw new TypeError('request.requestScope: this request was not opened by logical-context.')
  return scope
}

function abortAtLimit(scope: RequestScope, limitMs: number): void {
  scope.abort(new TimeoutError(scope.name, limitMs))
}

function without<Options extends object>(options: Options, omitted: Checks): Options {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !Object.hasOwn(omitted, name))) as Options
}
