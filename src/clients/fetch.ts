import type { LogicalContext } from '../context/logical-context.ts'
import { aFunction, type Checks, checkOptions } from '../options.ts'
import { carrierOf } from '../propagators/carrier.ts'
import { callContext } from './call-context.ts'
import { withDeadline } from './deadline.ts'
import { type FetchInput, readCall } from './fetch-call.ts'
import { Outbound, outboundChecks, type OutboundOptions } from './outbound.ts'
import { followRedirects } from './redirects.ts'

export type Fetch = (input: FetchInput, init?: RequestInit) => Promise<Response>

export interface ContextFetchOptions extends OutboundOptions {
  /** Makes the calls. Default: the global `fetch`, as it is at the time of the call. */
  fetch?: Fetch
}

export interface ContextFetch extends Fetch {
  /**
   * A `contextFetch` with these options over those that this one has.
   *
   * @throws {TypeError} for an option that is unknown or of the wrong type, and for what is no host.
   */
  with(options: ContextFetchOptions): ContextFetch
  /** What could not go out, counted. */
  readonly outbound: Outbound
}

const checks: Checks = { ...outboundChecks, fetch: aFunction }

/**
 * `fetch` that tells the callee of its caller's context: trace and request id, and values to the hosts on a list. The
 * context is read when it is called. A header that is set already stays; `init` and a `Request` are not changed.
 *
 * The call, and the reading of its body, aborts with a `TimeoutError` when the caller's deadline is over. It does not
 * abort with the request that it is made for, of which it may be the clean-up: give it `request.requestScope.signal` for that.
 *
 * Where hosts are told different things, redirects are followed here, and each hop is told what its host may know.
 */
export const contextFetch: ContextFetch = configured({})

function configured(options: ContextFetchOptions): ContextFetch {
  checkOptions('contextFetch', options, checks)
  const { fetch, ...outboundOptions } = options
  const outbound = new Outbound('contextFetch', outboundOptions)
  const fetchInContext: Fetch = (input, init) => call(fetch ?? globalThis.fetch, outbound, callContext(), input, init)
  return Object.assign(fetchInContext, {
    with(more: ContextFetchOptions) {
      // Before they are spread: null spreads to nothing.
      checkOptions('contextFetch', more, checks)
      return configured({ ...options, ...more })
    },
    outbound,
  })
}

async function call(
  fetch: Fetch,
  outbound: Outbound,
  context: LogicalContext,
  input: FetchInput,
  init: RequestInit | undefined,
): Promise<Response> {
  const { url, method, headers, signal: own, redirect, init: given, firstHop } = readCall(input, init)
  const { signal, forget } = withDeadline(context, () => `${method} ${url?.origin ?? ''}${url?.pathname ?? ''}`, own)
  try {
    signal?.throwIfAborted()
    const byHand = url !== null && redirect === 'follow' && outbound.tellsApart
    if (!byHand) {
      outbound.inject(context, carrierOf(headers), url)
      return await fetch(input, { ...given, signal, headers })
    }
    const followed: RequestInit = { signal, redirect: 'manual' }
    const first = firstHop(url)
    try {
      const response = await fetch(input, { ...given, ...followed, headers: outbound.addTo(headers, context, url) })
      return await followRedirects(response, first, async (hop) => {
        const body = await hop.body?.again?.()
        const toHop = outbound.addTo(hop.headers, context, hop.url)
        return fetch(hop.url.href, { ...hop.settings, ...followed, method: hop.method, headers: toHop, body })
      })
    } finally {
      first.body?.release()
    }
  } catch (error) {
    forget?.()
    throw error
  }
}
