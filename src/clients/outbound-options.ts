import { aSyncFunction } from '../callbacks.ts'
import { aBoolean, anyOf, anything, type Check, type Checks } from '../options.ts'
import type { Propagator, RefusalReason } from '../propagators/propagator.ts'
import { anArray, type Destinations, type Hosts } from './destinations.ts'

/** A field that was not sent. */
export interface OutboundRefusal {
  reason: RefusalReason
  /** The header, or the header and its member. */
  field: string
  /** The destination's host; empty if it is unknown. */
  host: string
}

/** The options of every client. */
export interface OutboundOptions {
  /** The formats of a call's headers. Default: `[w3cTraceContext(), w3cBaggage(), xRequestId(), requestTimeout()]`. */
  propagators?: readonly Propagator[]
  /** The hosts that receive the trace and the request id: `true` for all, `false` for none. Default: true. */
  trace?: boolean | Hosts
  /** The hosts that receive values, and which values. Default: none. */
  values?: Destinations
  /**
   * Whether each call gets a span id of its own, below the unit's span. Calls that follow a redirect and retries are
   * calls too. With the bridge to OpenTelemetry, the id is that of a span of kind client that the bridge records, which
   * ends at once. Where an instrumentation starts a span for each call, its id is sent.
   * Default: false; all calls of a unit send the id of the unit's span.
   */
  spanPerCall?: boolean
  /** Called for each field that was not sent. Default: fields that were not sent are only counted. */
  onRefusal?: (refusal: OutboundRefusal) => void
}

export const aUrl: Check = anyOf(
  'an absolute URL',
  (value) => value instanceof URL || (typeof value === 'string' && URL.canParse(value)),
)

export const outboundChecks: Checks = {
  // `composite` checks the list of propagators, and `compileDestinations` the list of hosts.
  propagators: anything,
  trace: anyOf('a boolean or an array of hosts', (value) => typeof value === 'boolean' || Array.isArray(value)),
  values: anArray,
  spanPerCall: aBoolean,
  onRefusal: aSyncFunction,
}
