import { LogicalContext } from 'logical-context'
import {
  carrierOf,
  type CarrierSource,
  type Destination,
  type Peer,
  type Propagator,
} from 'logical-context/propagators'

/** What a propagator has complained of, as `complaint field` texts, in order. */
export type Complaints = string[]

/** Extracts from headers; the peer is one that may tell everything, but for what is given. */
export function extractFrom(
  propagator: Propagator,
  headers: CarrierSource,
  peer: Partial<Peer> = {},
  context: LogicalContext = LogicalContext.empty,
): { context: LogicalContext; complaints: Complaints } {
  const complaints: Complaints = []
  const complain = noteIn(complaints)
  const extracted = propagator.extract(context, carrierOf(headers), {
    trace: 'continue',
    values: true,
    complain,
    ...peer,
  })
  return { context: extracted, complaints }
}

/** Injects into headers; the destination is one that may be told everything, but for what is given. */
export function injectInto(
  propagator: Propagator,
  context: LogicalContext,
  destination: Partial<Destination> = {},
  headers: Record<string, string> = {},
): { headers: Record<string, string>; complaints: Complaints } {
  const complaints: Complaints = []
  const complain = noteIn(complaints)
  propagator.inject(context, carrierOf(headers), { trace: true, values: true, complain, ...destination })
  return { headers, complaints }
}

function noteIn(complaints: Complaints): Peer['complain'] {
  return (complaint, field) => complaints.push(`${complaint} ${field}`)
}
