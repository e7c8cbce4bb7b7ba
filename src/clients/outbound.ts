import type { LogicalContext } from '../context/logical-context.ts'
import { aFunction, anyOf, anything, type Check, type Checks } from '../options.ts'
import { type Carrier, carrierOf } from '../propagators/carrier.ts'
import { composite } from '../propagators/composite.ts'
import { requestTimeout } from '../propagators/request-timeout.ts'
import { isFieldValue } from '../propagators/header-field.ts'
import type { Refuse, RefusalReason, Destination, Propagator } from '../propagators/propagator.ts'
import { xRequestId } from '../propagators/x-request-id.ts'
import { w3cBaggage } from '../propagators/w3c-baggage.ts'
import { w3cTraceContext } from '../propagators/w3c-trace-context.ts'
import { isToken } from '../variables/baggage-grammar.ts'
import {
  anArray,
  compileDestinations,
  type Destinations,
  type Hosts,
  type HostMatcher,
  nobody,
  type Target,
} from './destinations.ts'

export type { DestinationRule, Destinations, Hosts, Target } from './destinations.ts'

/** Something that was to go out and could not. */
export interface OutboundRefusal {
  reason: RefusalReason
  /** The header, or the header and its member. */
  field: string
  /** Where it was to go, or empty where that is not known. */
  host: string
}

export interface OutboundOptions {
  /** What is written into a call's headers. Default: `[w3cTraceContext(), w3cBaggage(), xRequestId(), requestTimeout()]`. */
  propagators?: readonly Propagator[]
  /** Who is told trace and request id: everybody, nobody or these hosts. Default: true. */
  trace?: boolean | Hosts
  /** Who is told values, and which. Default: nobody. */
  values?: Destinations
  /** Told of everything that could not go out. Default: it is counted only. */
  onRefusal?: (dropped: OutboundRefusal) => void
}

export const aUrl: Check = anyOf(
  'an absolute URL',
  (value) => value instanceof URL || (typeof value === 'string' && URL.canParse(value)),
)

export const outboundChecks: Checks = {
  // `composite` checks its list, and `compileDestinations` its own.
  propagators: anything,
  trace: anyOf('a boolean or an array of hosts', (value) => typeof value === 'boolean' || Array.isArray(value)),
  values: anArray,
  onRefusal: aFunction,
}

/**
 * The way out, the same for every client: where a call goes decides what it may tell, and that is written into its
 * headers. Clients call `inject` at the time of the call, in the caller's context, and again for every redirect.
 */
export class Outbound {
  /** How much could not go out. */
  readonly counters: Record<RefusalReason, number> = { refused: 0, malformed: 0, duplicate: 0, truncated: 0 }
  /** Whether one destination is told more than another, so that a redirect must not take headers along. */
  readonly tellsApart: boolean
  /** The headers that may be written, in lower case. */
  readonly fields: readonly string[]
  readonly #propagators: readonly Propagator[]
  readonly #trace: HostMatcher
  readonly #traceIsListed: boolean
  readonly #values: HostMatcher
  readonly #onRefusal: ((dropped: OutboundRefusal) => void) | undefined

  /**
   * Takes options that its client has checked with `outboundChecks`.
   *
   * @throws {TypeError} for what is no propagator or no host; `owner` is who it names.
   */
  constructor(owner: string, options: OutboundOptions = {}) {
    const {
      propagators = [w3cTraceContext(), w3cBaggage(), xRequestId(), requestTimeout()],
      trace = true,
      values = [],
      onRefusal,
    } = options
    this.fields = composite(propagators).fields
    this.#propagators = [...propagators]
    this.#trace = matcherOf(owner, trace)
    this.#values = compileDestinations(owner, values)
    this.#traceIsListed = typeof trace !== 'boolean'
    this.tellsApart = this.#traceIsListed || values.length > 0
    this.#onRefusal = onRefusal
  }

  /**
   * Writes what `target` may know and what is not there yet, and says whether that has what others may not; never
   * throws. A target that is not known is told what everybody is.
   */
  inject(context: LogicalContext, carrier: Carrier, target: Target | null): boolean {
    const refuse: Refuse = (reason, field) => this.#drop({ reason, field, host: target?.hostname ?? '' })
    const destination: Destination = {
      trace: target === null ? this.#trace === everybody : this.#trace(target) === true,
      values: target === null ? false : this.#values(target),
      refuse,
    }
    const guarded = new GuardedCarrier(carrier, refuse)
    for (const propagator of this.#propagators) {
      try {
        propagator.inject(context, guarded, destination)
      } catch {
        refuse('malformed', propagator.fields[0] ?? '')
      }
    }
    return guarded.written && (destination.values !== false || this.#traceIsListed)
  }

  /** A copy of the headers of a call, with what its target may know. */
  addTo(headers: Headers | Record<string, string>, context: LogicalContext, target: Target | null): Headers {
    const all = new Headers(headers)
    this.inject(context, carrierOf(all), target)
    return all
  }

  #drop(dropped: OutboundRefusal): void {
    this.counters[dropped.reason]++
    try {
      this.#onRefusal?.(dropped)
    } catch (error) {
      console.error('logical-context: onRefusal has failed', error)
    }
  }
}

/** Lets through what a header can be, and nothing over a header that is there, whatever a propagator does. */
class GuardedCarrier implements Carrier {
  written = false
  readonly #carrier: Carrier
  readonly #refuse: Refuse

  constructor(carrier: Carrier, refuse: Refuse) {
    this.#carrier = carrier
    this.#refuse = refuse
  }

  get(name: string): string | undefined {
    return this.#carrier.get(name)
  }

  has(name: string): boolean {
    return this.#carrier.has(name)
  }

  set(name: string, value: string): void {
    if (!isToken(name) || !isFieldValue(value)) {
      this.#refuse('malformed', name)
      return
    }
    if (this.#carrier.has(name)) return
    this.#carrier.set(name, value)
    this.written = true
  }
}

const everybody: HostMatcher = () => true

function matcherOf(owner: string, trace: boolean | Hosts): HostMatcher {
  if (typeof trace !== 'boolean') return compileDestinations(owner, trace)
  return trace ? everybody : nobody
}
