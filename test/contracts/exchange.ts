import { LogicalContext } from 'logical-context'
import {
  carrierOf,
  type CarrierSource,
  type Destination,
  type Peer,
  type Propagator,
} from 'logical-context/propagators'

/** What a propagator has complained of, as `reason field` texts, in order. */
export type Complaints = string[]

/** Extracts from headers; the peer is one that may tell everything, but for what is given. */
export function extractFrom(
  propagator: Propagator,
  headers: CarrierSource,
  peer: Partial<Peer> = {},
  context: LogicalContext = LogicalContext.empty,
): { context: LogicalContext; refusals: Complaints } {
  const refusals: Complaints = []
  const refuse = noteIn(refusals)
  const extracted = propagator.extract(context, carrierOf(headers), {
    trace: 'continue',
    values: true,
    refuse,
    ...peer,
  })
  return { context: extracted, refusals }
}

/** Injects into headers; the destination is one that may be told everything, but for what is given. */
export function injectInto(
  propagator: Propagator,
  context: LogicalContext,
  destination: Partial<Destination> = {},
  headers: Record<string, string> = {},
): { headers: Record<string, string>; refusals: Complaints } {
  const refusals: Complaints = []
  const refuse = noteIn(refusals)
  propagator.inject(context, carrierOf(headers), { trace: true, values: true, refuse, ...destination })
  return { headers, refusals }
}

function noteIn(refusals: Complaints): Peer['refuse'] {
  return (reason, field) => refusals.push(`${reason} ${field}`)
}
