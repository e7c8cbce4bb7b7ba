import type { Code, ContextKey, ContextValues, Interceptor, StreamRequest, UnaryRequest } from '@connectrpc/connect'
import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import { isThenable, reportOnce } from '../callbacks.ts'
import { stepsIn } from '../context/steps-in.ts'
import { root } from '../context/storage.ts'
import { ClientGoneError, TimeoutError } from '../errors.ts'
import { checkCalled, checkOptions } from '../options.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { after } from '../tasks/timer.ts'
import { currentUnit } from '../tasks/unit.ts'
import { Exchange, exchangeOf, type Wait } from './exchange.ts'
import { Inbound, type InboundMessage, type InboundOptions } from './inbound.ts'
import { inboundChecks } from './inbound-options.ts'
import { stderrLog } from './log.ts'
import { nameAfterRoute, type NodeRequest, secondRegistration } from './node-requests.ts'
import { serverDefaults } from './server-options.ts'
import { unsettledReport } from './unsettled-report.ts'

type Request = UnaryRequest | StreamRequest

/** For the option `interceptors` of a router or an adapter. */
export interface ConnectServerInterceptor extends Interceptor {
  /** The task group and the counters. Call `inbound.group.drain()` after the close of the server. */
  readonly inbound: Inbound
  /**
   * For the option `contextValues` of an adapter. Without it the peer of a call is unknown: only a function as `trust` can
   * trust it. Add your own values to the result with its method `set`.
   */
  readonly contextValues: (request: NodeRequest | { readonly raw: NodeRequest }) => ContextValues
}

const owner = 'connectServerInterceptor'

/**
 * Creates an interceptor for servers of `@connectrpc/connect` that opens a unit for each call, unary or streaming: it has
 * values in the handler, in each step of a stream, and in the interceptors after it. The signals of the unit and of the
 * handler abort when the client disconnects, at the deadline of the call, and when the unit is cancelled.
 *
 * If a middleware of this package opened a unit for the HTTP request, the call continues in it, and the interceptor takes
 * the option `policy` only: the policy of the tasks that are spawned in calls.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type.
 */
export function connectServerInterceptor(options?: InboundOptions): ConnectServerInterceptor {
  checkCalled('connectServerInterceptor', 'an interceptor', 'connectServerInterceptor()', options)
  const checked: InboundOptions = checkOptions(owner, options, inboundChecks)
  const { policy, ...others } = checked
  const hasOthers = Object.values(others).some((value) => value !== undefined)
  const inbound = new Inbound(checked, { owner })

  const begin = (request: Request): ServedCall => {
    const { raw, exchange } = httpOf(request)
    if (exchange !== undefined) setPolicy(exchange.scope)
    const scope = exchange?.scope ?? inbound.open(pathOf(request), messageOf(request, raw))
    return new ServedCall(request, scope, raw, exchange)
  }

  const setPolicy = (scope: RequestScope): void => {
    if (hasOthers) throw refused()
    if (policy !== undefined) scope.settings = { ...scope.settings, policy }
  }

  /** Connect answers a call that fails with an internal error, and does not log it. */
  const refused = (): TypeError => {
    const error = secondRegistration(owner, 'Below a middleware or a second time, it takes the option policy only.')
    reportOnce(inbound, owner, error)
    return error
  }

  const intercept: Interceptor = (next) => async (request) => {
    const running = calls.get(request.header)
    if (running !== undefined) {
      setPolicy(running.scope)
      return running.enter(() => next(request))
    }
    const call = begin(request)
    try {
      const response = await call.enter(() => next({ ...request, signal: call.signal }))
      if (response.stream) return { ...response, message: call.follow(response.message) }
      call.ended()
      return response
    } catch (error) {
      call.ended(error)
      throw error
    }
  }
  Object.defineProperty(intercept, 'name', { value: owner })
  return Object.assign(intercept, { inbound, contextValues })
}

const nodeRequest: ContextKey<NodeRequest | undefined> = {
  id: Symbol('logical-context.request'),
  defaultValue: undefined,
}

/** As `createContextValues` of Connect, which would load the package. */
function contextValues(request: NodeRequest | { readonly raw: NodeRequest }): ContextValues {
  const values = new Map<symbol, unknown>()
  const all: ContextValues = {
    get: <T>({ id, defaultValue }: ContextKey<T>) => (values.has(id) ? (values.get(id) as T) : defaultValue),
    set: ({ id }, value) => (values.set(id, value), all),
    delete: ({ id }) => (values.delete(id), all),
  }
  return all.set(nodeRequest, 'raw' in request ? request.raw : request)
}

/** The running calls, by their headers: every interceptor of a call receives the same object. */
const calls = new WeakMap<Headers, ServedCall>()
/** The headers of the call that an HTTP request made. */
const served = new WeakMap<NodeRequest, Headers>()

/**
 * The HTTP request of a call, if it is known, and its exchange, if a middleware opened one. A handler can call another one
 * through a transport in memory: that is another call, without an HTTP request.
 */
function httpOf(request: Request): { raw?: NodeRequest; exchange?: Exchange | undefined } {
  const { header } = request
  const given = request.contextValues.get(nodeRequest)
  const current = given === undefined ? currentUnit()?.ownRequest?.follower : exchangeOf(given)
  const exchange = current instanceof Exchange ? current : undefined
  const raw = given ?? exchange?.request
  if (raw === undefined || (served.get(raw) ?? header) !== header) return {}
  if (given === undefined && exchange?.path.endsWith(pathOf(request)) === false) return {}
  served.set(raw, header)
  return { raw, exchange }
}

/** A stream that a handler returned: its iterator, once it is read, and how many of its steps run. */
interface HandlerStream {
  reader: AsyncIterator<unknown> | undefined
  steps: number
}

/** A call that runs in the unit of its HTTP request, or in a unit of its own. */
class ServedCall {
  /** Of the handler. Its listeners run in the unit. */
  readonly signal: AbortSignal
  readonly scope: RequestScope
  readonly #header: Headers
  readonly #raw: NodeRequest | undefined
  readonly #exchange: Exchange | undefined
  readonly #wait: Wait
  readonly #path: string
  readonly #startedAt = Date.now()
  #stream: HandlerStream | undefined
  #isEnded = false

  constructor(request: Request, scope: RequestScope, raw?: NodeRequest, exchange?: Exchange) {
    const path = pathOf(request)
    const { signal, header } = request
    calls.set(header, this)
    this.scope = scope
    this.#header = header
    this.#raw = raw
    this.#path = path
    this.#exchange = exchange
    this.#wait = { what: `the handler of ${path}`, untilReply: false }
    if (exchange === undefined) {
      scope.begin(() => {})
      scope.retain()
    } else {
      exchange.beginInstead(this.#wait, handlerOfFastify)
      // A framework that has routes has named it.
      if (scope.name === exchange.request.method) nameAfterRoute(exchange, exchange.request, path)
    }
    const isGrpc = request.header.get('content-type')?.startsWith('application/grpc') === true
    scope.observation?.setAttributes?.({
      'rpc.system.name': isGrpc ? 'grpc' : 'connectrpc',
      'rpc.method': path.slice(1),
    })
    const own = new AbortController()
    this.signal = AbortSignal.any([own.signal, scope.signal])
    // Connect aborts it at the end of every call.
    const onAbort = () => {
      this.enter(() => own.abort(signal.reason))
      this.#abort(signal.reason)
      this.#leaveSoon()
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  }

  readonly enter = <R>(step: () => R): R => this.scope.runInSnapshot(step, undefined)

  /** The same stream, each of whose steps runs in the unit. */
  follow<T>(source: AsyncIterable<T>): AsyncIterable<T> {
    const stream: HandlerStream = (this.#stream = { reader: undefined, steps: 0 })
    const settled = () => {
      stream.steps--
      if (this.signal.aborted) this.#leaveSoon()
    }
    const enter = <R>(step: () => R): R => {
      const result = this.enter(step)
      if (!isThenable(result)) return result
      stream.steps++
      result.then(settled, settled)
      return result
    }
    const steps = stepsIn(enter, source, this.ended)
    return { [Symbol.asyncIterator]: () => (stream.reader = steps[Symbol.asyncIterator]()) }
  }

  /** The handler, or its stream, has ended or failed. A second call does nothing. */
  readonly ended = (...failure: [error?: unknown]): void => {
    if (this.#isEnded) return
    this.#isEnded = true
    if (failure.length > 0) this.#failed(failure[0])
    calls.delete(this.#header)
    if (this.#exchange !== undefined) return this.#exchange.end(this.#wait)
    // Connect aborts the signal next.
    setImmediate(() => {
      this.scope.close()
      this.scope.release()
    })
  }

  #failed(error: unknown): void {
    const code = statuses[Number(codeOf(error))] ?? 'internal'
    this.scope.observation?.setAttributes?.({ 'rpc.response.status_code': code })
    this.scope.failed(error)
  }

  /**
   * Leaves the stream of a call that was aborted: while Connect waits for the `drain` of a response that has closed, or
   * after an interceptor has failed, no code reads it to its end.
   */
  #leaveSoon(): void {
    const stream = this.#stream
    if (stream === undefined) return
    setImmediate(() => {
      if (this.#isEnded || stream.steps > 0) return
      if (stream.reader === undefined) return this.ended()
      // If the client still reads, it would take the stream for a whole one.
      if (this.#raw !== undefined && this.#isClientGone) void stream.reader.return?.().catch(() => {})
    })
  }

  /** True if the HTTP request is unknown. */
  get #isClientGone(): boolean {
    const raw = this.#raw
    if (raw === undefined) return true
    return 'stream' in raw ? raw.stream.closed : raw.socket.destroyed
  }

  #abort(reason: unknown): void {
    if (this.#isEnded) return
    const { scope } = this
    const isTimeout = codeOf(reason) === deadlineExceeded
    if (isTimeout) scope.abort(new TimeoutError(this.#path, Date.now() - this.#startedAt))
    // For example the `shutdownSignal` of the adapter.
    else if (!this.#isClientGone) return scope.abort(reason)
    // The middleware of the HTTP request observes its connection, and closes the unit.
    if (this.#exchange !== undefined) return
    if (!isTimeout) scope.abort(new ClientGoneError(scope.name))
    scope.close()
    const sealNow = () => {
      onUnsettled({ scope, waitsFor: [this.#wait.what] })
      scope.sealNow()
    }
    const disarm = root.runInAsyncScope(() => after(serverDefaults.settleTimeoutMs, sealNow, { ref: false }))
    scope.onSeal({ sealed: disarm })
  }
}

/** connect-fastify waits for an event `end` of the response, which has none: its promise never settles. */
const handlerOfFastify = "the handler 'handleFastifyRequest'"

const onUnsettled: ReturnType<typeof unsettledReport> = unsettledReport(stderrLog, serverDefaults.settleTimeoutMs)

const deadlineExceeded: Code = 4
/** By number. Connect, "Error Codes" */
const statuses: readonly string[] =
  'ok canceled unknown invalid_argument deadline_exceeded not_found already_exists permission_denied resource_exhausted failed_precondition aborted out_of_range unimplemented internal unavailable data_loss unauthenticated'.split(
    ' ',
  )

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null | undefined)?.code
}

/** As gRPC names a method, whatever the prefix of its URL. */
function pathOf({ service, method }: Request): string {
  return `/${service.typeName}/${method.name}`
}

/** Connect, "Timeout-Milliseconds": at most 10 digits; gRPC's field has 8. */
const connectTimeout = /^\d{1,10}$/
const maxGrpcMs = 99_999_999

function messageOf(request: Request, raw: NodeRequest | undefined): InboundMessage {
  const { requestMethod: method, url } = request
  const headers: IncomingHttpHeaders = raw === undefined ? Object.fromEntries(request.header) : { ...raw.headers }
  const timeout = String(headers['connect-timeout-ms'])
  if (connectTimeout.test(timeout)) headers['grpc-timeout'] = `${Math.min(Number(timeout), maxGrpcMs)}m`
  return { headers, socket: raw?.socket ?? ({} as Socket), method, url }
}
