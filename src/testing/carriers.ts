import { LogicalContext } from '../context/logical-context.ts'
import { anyOf, checkArgument, isRecord } from '../options.ts'
import { type Carrier, type CarrierSource, carrierOf } from '../propagators/carrier.ts'
import { type Destination, isPropagator, type Peer, type Propagator, type Refuse } from '../propagators/propagator.ts'

const aPropagator = anyOf('a propagator', isPropagator)
const aContext = anyOf('a LogicalContext', (value) => value instanceof LogicalContext)
const anObject = anyOf('an object of fields', isRecord)

/** A carrier in memory, with a record of its use. */
export interface FakeCarrier extends Carrier {
  /** The current fields, by their names in lower case. */
  readonly fields: Readonly<Record<string, string>>
  /** The names that were passed to `get` and `has`, in the order of the calls. */
  readonly read: readonly string[]
  /** The names that were passed to `set`, in the order of the calls. */
  readonly written: readonly string[]
}

/** Returns a carrier with these fields. Names match in any case. The argument is not changed. */
export function fakeCarrier(fields: Readonly<Record<string, string>> = {}): FakeCarrier {
  checkArgument('fakeCarrier', anObject, fields)
  const headers = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]))
  const carrier = carrierOf(headers)
  const read: string[] = []
  const written: string[] = []
  return {
    fields: headers,
    read,
    written,
    get(name) {
      read.push(name)
      return carrier.get(name)
    },
    has(name) {
      read.push(name)
      return carrier.has(name)
    },
    set(name, value) {
      written.push(name)
      carrier.set(name, value)
    },
  }
}

/**
 * Reads headers with a propagator. The peer may set everything, except for what `peer` says. Refusals are returned as
 * texts such as `malformed traceparent`, in order.
 */
export function extractFrom(
  propagator: Propagator,
  headers: CarrierSource,
  peer: Partial<Peer> = {},
  context: LogicalContext = LogicalContext.empty,
): { context: LogicalContext; refusals: string[] } {
  checkArgument('extractFrom', aPropagator, propagator)
  const refusals: string[] = []
  const refuse = recordIn(refusals)
  const carrier = carrierOf(headers)
  const extracted = propagator.extract(context, carrier, { trace: 'continue', values: true, refuse, ...peer })
  return { context: extracted, refusals }
}

/**
 * Writes a context into headers with a propagator. The destination may receive everything, except for what `destination`
 * says. Refusals are returned as texts such as `refused baggage.tenant`, in order.
 */
export function injectInto(
  propagator: Propagator,
  context: LogicalContext,
  destination: Partial<Destination> = {},
  headers: Record<string, string> = {},
): { headers: Record<string, string>; refusals: string[] } {
  checkArgument('injectInto', aPropagator, propagator)
  checkArgument('injectInto', aContext, context)
  const refusals: string[] = []
  const refuse = recordIn(refusals)
  propagator.inject(context, carrierOf(headers), { trace: true, values: true, refuse, ...destination })
  return { headers, refusals }
}

function recordIn(refusals: string[]): Refuse {
  return (reason, field) => void refusals.push(`${reason} ${field}`)
}
