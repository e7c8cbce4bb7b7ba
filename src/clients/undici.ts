import type { Dispatcher } from 'undici'
import { type Checks, checkOptions } from '../options.ts'
import { carrierOf, type HeaderObject } from '../propagators/carrier.ts'
import { callContext } from './call-context.ts'
import { aUrl, Outbound, outboundChecks, type OutboundOptions } from './outbound.ts'
import { ContextHandler } from './undici-handler.ts'

export interface UndiciInterceptorOptions extends OutboundOptions {
  /** Where a `Pool` or a `Client` sends everything. Default: what undici 8 tells of it, else what each request says. */
  origin?: string | URL
}

/** For `dispatcher.compose`. */
export interface UndiciInterceptor {
  (dispatch: Dispatcher.Dispatch, origin?: string | null): Dispatcher.Dispatch
  /** What could not go out, counted. */
  readonly outbound: Outbound
}

const checks: Checks = { ...outboundChecks, origin: aUrl }

/**
 * An interceptor for undici 7 and 8 that tells the callee of its caller's context: trace and request id, and values to
 * the hosts on a list. The context is read when a request is dispatched, before a pool makes it wait. A header that is
 * set already stays. The request aborts with a `TimeoutError` when the caller's deadline is over.
 *
 * Compose it before `redirect` and `retry`, so that each request that those make comes here too; a redirect that would
 * take values along fails. Compose it after `dns`, which puts an address in the place of the host, and after `cache` and
 * `deduplicate`, which must see what a request tells.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type, and for what is no host.
 */
export function undiciInterceptor(options?: UndiciInterceptorOptions): UndiciInterceptor {
  checkOptions('undiciInterceptor', options, checks)
  const { origin: fixedOrigin, ...outboundOptions } = options ?? {}
  const outbound = new Outbound('undiciInterceptor', outboundOptions)
  const targetAt = originReader()

  function intercept(dispatch: Dispatcher.Dispatch, poolOrigin?: string | null): Dispatcher.Dispatch {
    return function dispatchInContext(request, handler) {
      const { method, path, headers } = request
      // What opens a tunnel is for the proxy, not for the host at the tunnel's end.
      if (method === 'CONNECT' || typeof path !== 'string') return dispatch(request, handler)
      const context = callContext()
      // Undici says null of a pool that chooses among several.
      const origin = String(fixedOrigin ?? (poolOrigin === undefined ? request.origin : poolOrigin) ?? '')
      const told = copyOf(headers)
      const confidential = outbound.inject(context, carrierOf(told), path.startsWith('/') ? targetAt(origin) : null)
      const call = () => `${method} ${origin}${path.split('?', 1)[0]}`
      return new ContextHandler(handler, confidential).dispatch(context, call, (handlerInContext) =>
        dispatch({ ...request, headers: told as typeof headers }, handlerInContext),
      )
    }
  }
  return Object.assign(intercept, { outbound })
}

/** Parses an origin once for the calls in a row that go there. */
function originReader(): (origin: string) => URL | null {
  let known = ''
  let target: URL | null = null
  return (origin) => {
    if (origin !== known) [known, target] = [origin, URL.parse(origin)]
    return target
  }
}

/** A copy: an object of an object; one array, names and values in turn, of such an array and of pairs of any kind. */
function copyOf(headers: Dispatcher.DispatchOptions['headers']): HeaderObject | string[] {
  if (headers === null || headers === undefined) return {}
  if (!(Symbol.iterator in headers)) return { ...headers }
  const list: unknown[] = [...headers]
  const inTurn = Array.isArray(list[0]) ? list.flat(1) : list
  // A name may be a Buffer.
  return inTurn.map((item, i) => (i % 2 === 0 ? String(item) : (item as string)))
}
