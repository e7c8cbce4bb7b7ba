import type { LogicalContext } from '../context/logical-context.ts'
import { type Checks, checkOptions } from '../options.ts'
import { carrierOf, type CarrierSource } from '../propagators/carrier.ts'
import { aUrl, Outbound, outboundChecks, type OutboundOptions } from './outbound.ts'

export interface InjectOptions {
  /** The URL of the callee. Default: unknown, and told what everybody is. */
  to?: string | URL
}

export interface Inject {
  (context: LogicalContext, carrier: CarrierSource, options?: InjectOptions): void
  /**
   * An `inject` with these options.
   *
   * @throws {TypeError} for an option that is unknown or of the wrong type, and for what is no host.
   */
  with(options: OutboundOptions): Inject
  /** What could not go out, counted. */
  readonly outbound: Outbound
}

const checks: Checks = { to: aUrl }

/**
 * Writes what the callee may know of a context into a carrier: `Headers`, a `Map`, an object of headers. For clients
 * that have no file of their own here. Call it where the call is made: `inject(current(), headers, { to: url })`,
 * with `callContext()` in the place of `current()` if it tells a deadline. A header that is set already stays.
 *
 * @throws {TypeError} if `to` is no absolute URL.
 */
export const inject: Inject = configured({})

function configured(options: OutboundOptions): Inject {
  checkOptions('inject', options, outboundChecks)
  const outbound = new Outbound('inject', options)

  function injectInto(context: LogicalContext, carrier: CarrierSource, call?: InjectOptions): void {
    checkOptions('inject', call, checks)
    const target = call?.to === undefined ? null : URL.parse(call.to)
    outbound.inject(context, carrierOf(carrier), target)
  }
  return Object.assign(injectInto, {
    with(more: OutboundOptions) {
      // Before they are spread: null spreads to nothing.
      checkOptions('inject', more, outboundChecks)
      return configured({ ...options, ...more })
    },
    outbound,
  })
}
