import { type Checks, checkOptions } from '../options.ts'
import { carrierOf, type HeaderObject } from '../propagators/carrier.ts'
import { callContext } from './call-context.ts'
import { aUrl, Outbound, outboundChecks, type OutboundOptions } from './outbound.ts'

export interface RewriteRequestHeadersOptions extends OutboundOptions {
  /** The URL of the upstream. Default: unknown, and told what everybody is. */
  to?: string | URL
}

/** For the option `rewriteRequestHeaders` of `@fastify/reply-from` and `@fastify/http-proxy`. */
export interface RewriteRequestHeaders {
  <Headers extends HeaderObject>(request: unknown, headers: Headers): Headers
  /** What could not go out, counted. */
  readonly outbound: Outbound
}

const checks: Checks = { ...outboundChecks, to: aUrl }

/**
 * The headers of a request that is passed on to an upstream: without what its client says of trace, request id and
 * values, in the place of which goes what our context says. A proxy copies its client's headers, believed or not.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type, and for what is no host.
 */
export function rewriteRequestHeaders(options?: RewriteRequestHeadersOptions): RewriteRequestHeaders {
  checkOptions('rewriteRequestHeaders', options, checks)
  const { to, ...outboundOptions } = options ?? {}
  const outbound = new Outbound('rewriteRequestHeaders', outboundOptions)
  const target = to === undefined ? null : URL.parse(to)

  function rewrite<Headers extends HeaderObject>(_request: unknown, headers: Headers): Headers {
    const own = Object.entries(headers).filter(([name]) => !outbound.fields.includes(name.toLowerCase()))
    const forwarded = Object.fromEntries(own) as Headers
    outbound.inject(callContext(), carrierOf(forwarded), target)
    return forwarded
  }
  return Object.assign(rewrite, { outbound })
}
