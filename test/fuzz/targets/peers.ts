import { LogicalContext } from 'logical-context'
import {
  carrierOf,
  type CarrierSource,
  type Destination,
  type Peer,
  type Propagator,
} from 'logical-context/propagators'
import { ensure, ensureLegal } from '../target.ts'

/** How often it was complained. */
export interface Exchanged<T> {
  found: T
  complaints: string[]
}

/** What a propagator reads from a peer that may tell everything. */
export function extractAll(propagator: Propagator, source: CarrierSource): Exchanged<LogicalContext> {
  const complaints: string[] = []
  const peer: Peer = {
    trace: 'continue',
    values: true,
    complain: (complaint, field) => complaints.push(`${complaint} ${field}`),
  }
  return { found: propagator.extract(LogicalContext.empty, carrierOf(source), peer), complaints }
}

/** What it writes to a destination that may be told everything; legal in a header. */
export function injectAll(propagator: Propagator, context: LogicalContext): Exchanged<Record<string, string>> {
  const complaints: string[] = []
  const found: Record<string, string> = {}
  const complain: Destination['complain'] = (complaint, field) => complaints.push(`${complaint} ${field}`)
  propagator.inject(context, carrierOf(found), { trace: true, values: true, complain })
  for (const text of Object.values(found)) ensureLegal(text)
  ensure(complaints.length <= 2 * propagator.fields.length, 'complains of each field at most twice', complaints)
  return { found, complaints }
}
