import type { Dispatcher } from 'undici'
import type { LogicalContext } from '../context/logical-context.ts'
import { captureSnapshot, type AsyncSnapshot } from '../context/storage.ts'
import { checkCalled, type Checks, checkOptions } from '../options.ts'
import { carrierOf, type HeaderObject } from '../propagators/carrier.ts'
import { atDeadline, callContext } from './call-deadline.ts'
import { anyOrigin, guardOrigin } from './origin-guard.ts'
import { Outbound } from './outbound.ts'
import { type EndCall, startCall } from './start-call.ts'
import { aUrl, outboundChecks, type OutboundOptions } from './outbound-options.ts'

/** Options of `undiciInterceptor`. */
export interface UndiciInterceptorOptions extends OutboundOptions {
  /**
   * The origin that the dispatcher sends all requests to. Required for a `BalancedPool`, and for a `Pool`, `Client` or
   * `RoundRobinPool` of undici 7 whose requests do not name it. Default: what undici 8 reports, else each request's.
   */
  origin?: string | URL
}

/** For `dispatcher.compose`. */
export interface UndiciInterceptor {
  (dispatch: Dispatcher.Dispatch, origin?: string | null): Dispatcher.Dispatch
  /** Counts the fields that were not sent. */
  readonly outbound: Outbound
}

const checks: Checks = { ...outboundChecks, origin: aUrl }

/**
 * An interceptor for undici 7 and 8. It writes the caller's context into the headers of each request: trace and request
 * id, and values for the listed hosts. The context is read when the request is dispatched, before a pool defers it. A
 * header that is already set stays. The request aborts with a `TimeoutError` at the caller's deadline.
 *
 * Compose it before `redirect` and `retry`, so that it sees each of their requests; a redirect that would send values
 * to another host fails. Compose it after `dns`, which replaces the host by an address, and after `cache` and
 * `deduplicate`, which must see all headers.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type, or a host is invalid.
 */
export function undiciInterceptor(options?: UndiciInterceptorOptions): UndiciInterceptor {
  checkCalled('undiciInterceptor', 'an interceptor', 'undiciInterceptor()', options)
  const { origin: fixedOrigin, ...outboundOptions } = checkOptions('undiciInterceptor', options, checks)
  const outbound = new Outbound('undiciInterceptor', outboundOptions)
  const originAt = originReader()

  function intercept(next: Dispatcher.Dispatch, poolOrigin?: string | null): Dispatcher.Dispatch {
    return function dispatch(request, handler) {
      const { method, path, headers } = request
      // The headers of a CONNECT go to the proxy, not to the host at the end of the tunnel.
      if (method === 'CONNECT' || typeof path !== 'string') return next(request, handler)
      const context = callContext()
      const written = copyOf(headers)
      const target = targetOf(request, fixedOrigin ?? poolOrigin, originAt)
      const fields = outbound.write(context, carrierOf(written), target)
      const call = () => `${method} ${target?.origin ?? String(request.origin ?? '')}${path.split('?', 1)[0]}`
      const guardedOrigin = fixedOrigin === undefined ? target?.origin : anyOrigin
      const endGuard = guardedOrigin === undefined ? undefined : guardOrigin(path, guardedOrigin, fields)
      const isConfidential = fields.confidential.length > 0
      const endCall = startCall('undiciInterceptor', call)
      return new ContextHandler(handler, isConfidential, endGuard, endCall).dispatch(
        context,
        call,
        (handlerInContext) => next({ ...request, headers: written as typeof headers }, handlerInContext),
      )
    }
  }
  return outbound.asClient(intercept)
}

/**
 * The target of a request; null if it is unknown. `own` is the origin that the dispatcher sends all requests to: null if
 * there are several, undefined if it sends each to the origin that it names, or if undici does not report it.
 */
function targetOf(
  { path, origin }: Dispatcher.DispatchOptions,
  own: string | URL | null | undefined,
  originAt: (origin: string) => URL | null,
): URL | null {
  // A proxy gets a URL as the path.
  if (own === null || !path.startsWith('/')) return null
  const named = origin === undefined || origin === null ? undefined : originAt(String(origin))
  if (own === undefined) return named ?? null
  const target = URL.parse(own)
  return named === undefined || named?.origin === target?.origin ? target : null
}

/** Parses an origin once for consecutive requests to it. */
function originReader(): (origin: string) => URL | null {
  let known = ''
  let target: URL | null = null
  return (origin) => {
    if (origin !== known) [known, target] = [origin, URL.parse(origin)]
    return target
  }
}

/** Copies an object to an object, and all other forms to one array of alternating names and values. */
function copyOf(headers: Dispatcher.DispatchOptions['headers']): HeaderObject | string[] {
  if (headers === null || headers === undefined) return {}
  if (!(Symbol.iterator in headers)) return { ...headers }
  const list: unknown[] = [...headers]
  const alternating = Array.isArray(list[0]) ? list.flat(1) : list
  // A name may be a Buffer.
  return alternating.map((item, i) => (i % 2 === 0 ? String(item) : (item as string)))
}

type Handler = Required<Dispatcher.DispatchHandler>
type Controller = Dispatcher.DispatchController

/**
 * Calls a handler in the context that dispatched its request. undici itself calls handlers in the context of the
 * connection, which may be another request's. `redirect` and `retry` dispatch again in a callback, and so in the right
 * context.
 */
class ContextHandler implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler
  readonly #snapshot: AsyncSnapshot = captureSnapshot()
  /** Whether the headers contain something that only the first host may receive. */
  readonly #isConfidential: boolean
  readonly #endGuard: (() => void) | undefined
  readonly #endCall: EndCall | undefined
  #controller: Controller | undefined
  #clearTimer: (() => void) | undefined
  /** The error that the handler received before the request started. */
  #earlyError: Error | undefined

  constructor(
    handler: Dispatcher.DispatchHandler,
    isConfidential: boolean,
    endGuard: (() => void) | undefined,
    endCall: EndCall | undefined,
  ) {
    this.#handler = handler
    this.#isConfidential = isConfidential
    this.#endGuard = endGuard
    this.#endCall = endCall
  }

  /** Dispatches, unless the deadline of `context` has passed. */
  dispatch(context: LogicalContext, call: () => string, dispatch: (handler: this) => boolean): boolean {
    this.#clearTimer = atDeadline(context, call, (reason) => this.#abort(reason))
    if (this.#earlyError !== undefined) return true
    try {
      return dispatch(this)
    } catch (error) {
      this.#finish()
      this.#endCall?.(undefined, error)
      throw error
    }
  }

  onRequestStart(controller: Controller, context: { history?: readonly URL[] } | null | undefined): void {
    this.#controller = controller
    const isRedirect = context?.history !== undefined && context.history.length > 0
    if (this.#earlyError !== undefined) controller.abort(this.#earlyError)
    else if (this.#isConfidential && isRedirect) controller.abort(wrongOrder())
    else this.#call('onRequestStart', controller, context)
  }

  onRequestUpgrade(...args: Parameters<Handler['onRequestUpgrade']>): void {
    this.#finish()
    this.#call('onRequestUpgrade', ...args)
  }

  onResponseStarted(): void {
    this.#call('onResponseStarted')
  }

  onResponseStart(...args: Parameters<Handler['onResponseStart']>): void {
    this.#endCall?.(args[1], undefined)
    this.#call('onResponseStart', ...args)
  }

  onResponseData(...args: Parameters<Handler['onResponseData']>): void {
    this.#call('onResponseData', ...args)
  }

  onResponseEnd(...args: Parameters<Handler['onResponseEnd']>): void {
    this.#finish()
    this.#call('onResponseEnd', ...args)
  }

  onResponseError(...args: Parameters<Handler['onResponseError']>): void {
    this.#finish()
    this.#endCall?.(undefined, args[1])
    this.#call('onResponseError', ...args)
  }

  onBodySent(...args: Parameters<Handler['onBodySent']>): void {
    this.#call('onBodySent', ...args)
  }

  onRequestSent(): void {
    this.#call('onRequestSent')
  }

  #finish(): void {
    this.#clearTimer?.()
    this.#endGuard?.()
  }

  #call<Event extends keyof Handler>(event: Event, ...args: Parameters<Handler[Event]>): void {
    if (this.#earlyError !== undefined) return
    const callback = this.#handler[event] as ((...args: Parameters<Handler[Event]>) => void) | undefined
    if (callback !== undefined) this.#snapshot.runInAsyncScope(callback, this.#handler, ...args)
  }

  /** A request that is still queued cannot be aborted: its handler gets the error now, and the request aborts later. */
  #abort(reason: Error): void {
    if (this.#controller !== undefined) {
      this.#controller.abort(reason)
      return
    }
    this.#finish()
    this.#endCall?.(undefined, reason)
    this.#snapshot.runInAsyncScope(() => this.#handler.onResponseError?.(null as never, reason))
    this.#earlyError = reason
  }
}

function wrongOrder(): TypeError {
  return new TypeError(
    'undiciInterceptor: a redirect would send headers to another host that only the first host may receive. ' +
      'Compose undiciInterceptor() before redirect().',
  )
}
