import { checkCalled, type Checks, checkOptions } from '../options.ts'
import { carrierOf, type HeaderObject } from '../propagators/carrier.ts'
import { callContext } from './call-deadline.ts'
import { Outbound } from './outbound.ts'
import { aUrl, outboundChecks, type OutboundOptions } from './outbound-options.ts'

/** Options of `rewriteRequestHeaders`. */
export interface RewriteRequestHeadersOptions extends OutboundOptions {
  /** The URL of the upstream. Default: unknown; the upstream then receives no values. */
  to?: string | URL
}

/** For the option `rewriteRequestHeaders` of `@fastify/reply-from` and `@fastify/http-proxy`. */
export interface RewriteRequestHeaders {
  <Headers extends HeaderObject>(request: unknown, headers: Headers): Headers
  /** Counts the fields that were not sent. */
  readonly outbound: Outbound
}

const checks: Checks = { ...outboundChecks, to: aUrl }

/**
 * Returns the headers for a request that is passed on to an upstream. The fields of `propagators` that the client sent
 * are removed, and the fields of the current context are written instead. Without this, a proxy copies its client's
 * headers, trusted or not.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type, or a host is invalid.
 */
export function rewriteRequestHeaders(
  options?: RewriteRequestHeadersOptions,
  ...calledByFastify: never[]
): RewriteRequestHeaders {
  checkCalled('rewriteRequestHeaders', 'a rewrite', 'rewriteRequestHeaders()', options, ...calledByFastify)
  const { to, ...outboundOptions } = checkOptions('rewriteRequestHeaders', options, checks)
  const outbound = new Outbound('rewriteRequestHeaders', outboundOptions)
  const target = to === undefined ? null : URL.parse(to)

  return outbound.asClient(<Headers extends HeaderObject>(_request: unknown, headers: Headers): Headers => {
    const own = Object.entries(headers).filter(([name]) => !outbound.fields.includes(name.toLowerCase()))
    const forwarded = Object.fromEntries(own) as Headers
    outbound.inject(callContext(), carrierOf(forwarded), target)
    return forwarded
  })
}
