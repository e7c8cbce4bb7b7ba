import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Server } from 'node:net'
import { captureSnapshot } from '../context/storage.ts'
import { anyOf, type Check, checkArgument, type Checks, checkOptions } from '../options.ts'
import type { Policy } from '../tasks/policy.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { requestId } from '../variables/request-id.ts'
import { traceContext } from '../variables/trace-context.ts'
import { type Exchange, exchangeOf } from './exchange.ts'
import { Inbound } from './inbound.ts'
import { containedLog, type Log, stderrLog } from './log.ts'
import { NodeServers } from './node-servers.ts'
import { enterAtReply } from './replies.ts'
import { serverChecks, serverDefaults, type ServerOptions } from './server-options.ts'
import { addServerTiming } from './server-timing.ts'

/** A request of a server of `node:http`, `node:https` or `node:http2`. */
export type NodeRequest = IncomingMessage | Http2ServerRequest
/** A response of such a server. */
export type NodeResponse = ServerResponse | Http2ServerResponse

declare module 'node:http' {
  interface IncomingMessage {
    /** The scope of this request: its signal, its values, and `run` to run code in it. Set by the middleware. */
    requestScope?: RequestScope
  }
}
declare module 'node:http2' {
  interface Http2ServerRequest {
    /** The scope of this request. Set by the middleware. */
    requestScope?: RequestScope
  }
}

/** Options of the middleware for a server of `node:http`. */
export interface NodeServerOptions extends ServerOptions {
  /** Where failures, refusals and the report of a close are logged, such as a logger of pino. Default: stderr. */
  logger?: Log
}

export const aLogger: Check = anyOf('a logger with the methods info, warn and error', (value) =>
  ['info', 'warn', 'error'].every((name) => typeof (value as Record<string, unknown> | null)?.[name] === 'function'),
)
const aServer: Check = anyOf(
  'a server, such as what `listen` returns',
  (value) => value instanceof process.getBuiltinModule('node:net').Server,
)
export const nodeServerChecks: Checks = { ...serverChecks, logger: aLogger }

/** What a middleware for Node's servers has besides its call. */
export interface NodeMiddleware {
  /** The task group and the counters. */
  readonly inbound: Inbound
  /**
   * Makes `server.close()` wait for the requests and the tasks, from now on. Without it, the first request of a server
   * does that.
   */
  drainAtClose<S extends Server>(server: S): S
}

/** The units of the requests of Node's servers: the base of the middlewares for `node:http`, Express, Koa and Hono. */
export class NodeRequests {
  readonly inbound: Inbound
  readonly log: Log
  readonly #owner: string
  readonly #innerPolicy: Policy | undefined
  readonly #replyIdHeader: string | false
  readonly #serverTiming: boolean
  readonly #servers: NodeServers

  /** @throws {TypeError} for an option that is unknown or of the wrong type. */
  constructor(owner: string, options: NodeServerOptions | undefined) {
    const checked: NodeServerOptions = checkOptions(owner, options, nodeServerChecks)
    const {
      replyIdHeader = serverDefaults.replyIdHeader,
      serverTiming = false,
      drainTimeoutMs = serverDefaults.drainTimeoutMs,
      settleTimeoutMs = serverDefaults.settleTimeoutMs,
      onDrained,
      logger = stderrLog,
      ...rest
    } = checked
    this.log = containedLog(logger)
    this.#owner = owner
    this.#innerPolicy = policyAlone(checked)
    this.#replyIdHeader = replyIdHeader
    this.#serverTiming = serverTiming
    this.inbound = new Inbound(rest, { owner, log: this.log })
    const { group } = this.inbound
    this.#servers = new NodeServers({ group, drainTimeoutMs, settleTimeoutMs, onDrained, log: this.log })
  }

  /** Opens the unit of a request, and calls `fn` in it. What `fn` throws is the caller's. */
  begin(request: NodeRequest, response: NodeResponse, fn: (exchange: Exchange) => void): void {
    if (typeof (response as Partial<NodeResponse> | undefined)?.setHeader !== 'function')
      throw otherFramework(this.#owner)
    // The route is not known yet, and a path can contain anything: the name is the method.
    const scope = this.inbound.open(request.method ?? '', request)
    const exchange = this.#servers.exchangesOf(request, response).open(scope, request, response)
    const trace = this.#serverTiming ? scope.context.get(traceContext) : undefined
    if (trace !== undefined) addServerTiming(response, trace)
    enterAtReply(response)
    request.requestScope = scope
    const header = this.#replyIdHeader
    if (header !== false && !response.headersSent) response.setHeader(header, scope.context.get(requestId) as string)
    if (scope.observation !== undefined) setAttributes(exchange, request, response)
    scope.begin(() => fn(exchange))
  }

  /**
   * Continues in the unit that a request has already: it was opened here, or another registration opened it and this one
   * has the option `policy` only, which it then sets. Returns the function that ends that policy; undefined if the request
   * has no unit.
   *
   * @throws {TypeError} for a second registration with other options.
   */
  enterAgain(request: NodeRequest): (() => void) | undefined {
    const exchange = exchangeOf(request)
    if (exchange === undefined) return undefined
    const { scope } = exchange
    const { settings } = scope
    const leave = () => {
      scope.settings = settings
    }
    if (settings.group === this.inbound.group) return leave
    if (this.#innerPolicy === undefined)
      throw secondRegistration(this.#owner, 'In a router it takes the option policy only.')
    scope.settings = { ...settings, policy: this.#innerPolicy }
    return leave
  }

  /** Adds a name and the members of `NodeMiddleware` to a middleware. */
  expose<M extends (...args: never[]) => unknown>(middleware: M, name: string): M & NodeMiddleware {
    Object.defineProperty(middleware, 'name', { value: name })
    return Object.assign(middleware, {
      inbound: this.inbound,
      drainAtClose: <S extends Server>(server: S): S => {
        checkArgument('drainAtClose', aServer, server)
        this.#servers.watch(server)
        return server
      },
    })
  }
}

export function secondRegistration(owner: string, advice: string): TypeError {
  return new TypeError(
    `${owner}: this request has a unit already, of an earlier registration. Register it once for each app. ${advice}`,
  )
}

/** For a middleware that the program gave to another framework than the one it is for. */
export function otherFramework(owner: string): TypeError {
  return new TypeError(
    `${owner}: expected a request and a response of Node's server, got the arguments of another framework. Import it ` +
      'from the subpath of your framework: logical-context/middleware/express, koa, hono or fastify.',
  )
}

/** The policy, if it is the only option. */
function policyAlone(options: NodeServerOptions): Policy | undefined {
  const names = Object.keys(options).filter((name) => options[name as keyof NodeServerOptions] !== undefined)
  return names.length === 1 ? options.policy : undefined
}

/** A `next` that continues in the contexts of this call, also if it is called in another request. */
export function nextInUnit<Args extends unknown[], R>(
  exchange: Exchange,
  next: (...args: Args) => R,
): (...args: Args) => R {
  const snapshot = captureSnapshot()
  // A block or a span that was opened around this call stays.
  return (...args) => (exchange.isCurrent ? next(...args) : snapshot.runInAsyncScope(next, undefined, ...args))
}

/** Names the unit after its route: the pattern, never the path. */
export function nameAfterRoute({ scope }: Exchange, request: NodeRequest, route: string): void {
  scope.name = `${request.method} ${route}`
  scope.observation?.setAttributes?.(attributesOf(request, route))
}

/** Sets the attributes of a request's span, by the names of OpenTelemetry's conventions for HTTP. */
function setAttributes({ scope }: Exchange, request: NodeRequest, response: NodeResponse): void {
  scope.observation?.setAttributes?.(attributesOf(request, undefined))
  response.once('close', () => {
    if (!response.headersSent) return
    const route = scope.name.slice((request.method ?? '').length + 1)
    const status = { 'http.response.status_code': response.statusCode }
    scope.observation?.setAttributes?.({ ...attributesOf(request, route === '' ? undefined : route), ...status })
  })
}

function attributesOf(request: NodeRequest, route: string | undefined): Record<string, string | undefined> {
  // Express changes `url` in a router, and keeps the whole one.
  const { originalUrl = request.url } = request as { originalUrl?: string }
  return {
    'http.request.method': request.method,
    'http.route': route,
    // Without the query, which may have secrets.
    'url.path': originalUrl?.split(/[?#]/, 1)[0],
    'url.scheme': 'encrypted' in request.socket ? 'https' : 'http',
    'network.protocol.version': request.httpVersion,
    'user_agent.original': request.headers['user-agent'],
  }
}
