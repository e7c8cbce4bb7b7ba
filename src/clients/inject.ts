import { isPromise } from 'node:util/types'
import { LogicalContext } from '../context/logical-context.ts'
import { anyOf, type Checks, checkOptions, show } from '../options.ts'
import { carrierOf, type CarrierSource } from '../propagators/carrier.ts'
import { callContext } from './call-deadline.ts'
import { Outbound } from './outbound.ts'
import { aUrl, outboundChecks, type OutboundOptions } from './outbound-options.ts'

/** Options of one call of `inject`. */
export interface InjectOptions {
  /** The URL of the callee. Default: unknown; the carrier then receives no values. */
  to?: string | URL
  /** The context to write. Default: the current context, with the earliest deadline of the work that makes the call. */
  context?: LogicalContext
}

/** The function `inject`, and `with` for one with other options. */
export interface Inject {
  (carrier: CarrierSource, options?: InjectOptions): void
  /**
   * Returns an `inject` with these options in addition to its own; a new option replaces one of the same name.
   *
   * @throws {TypeError} if an option is unknown or has the wrong type, or a host is invalid.
   */
  with(options: OutboundOptions): Inject
  /** Counts the fields that were not sent. */
  readonly outbound: Outbound
}

const checks: Checks = {
  to: aUrl,
  context: anyOf('a LogicalContext', (value) => value instanceof LogicalContext),
}

/**
 * Writes the context into the headers of a call: for clients without a module of their own here. The carrier is a
 * `Headers`, a `Map`, an object or an array of headers. A header that is already set stays.
 *
 * Call it where the call is made: `inject(headers, { to: url })`.
 *
 * @throws {TypeError} if the carrier is not one, if `to` is not an absolute URL, or if `context` is not a context.
 */
export const inject: Inject = withOptions({})

function withOptions(options: OutboundOptions): Inject {
  const outbound = new Outbound('inject', options)

  function injectInto(carrier: CarrierSource, call?: InjectOptions): void {
    const { to, context } = checkArguments(carrier, call)
    outbound.inject(context ?? callContext(), carrierOf(carrier), to === undefined ? null : URL.parse(to))
  }
  return outbound.asClient(injectInto, {
    with(more: OutboundOptions) {
      // Checked before the spread: `null` spreads to nothing.
      checkOptions('inject', more, outboundChecks)
      return withOptions({ ...options, ...more })
    },
  })
}

function checkArguments(carrier: unknown, call: InjectOptions | undefined): InjectOptions {
  if (typeof carrier !== 'object' || carrier === null || carrier instanceof LogicalContext || isPromise(carrier)) {
    throw new TypeError(
      `inject: expected a carrier, such as Headers, a Map or an object of headers, got ${show(carrier)}.`,
    )
  }
  // None of these has an own property whose name `checkOptions` could refuse.
  if (call instanceof LogicalContext || call instanceof Map || call instanceof Headers) {
    throw new TypeError(`inject: expected an options object as second argument, got ${show(call)}.`)
  }
  const { to, context } = carrier as Record<string, unknown>
  if (context instanceof LogicalContext || aUrl.accepts(to)) {
    throw new TypeError(`inject: expected the carrier as first argument, got options: ${show(carrier)}.`)
  }
  return checkOptions('inject', call, checks)
}
