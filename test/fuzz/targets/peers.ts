import { LogicalContext } from 'logical-context'
import {
  carrierOf,
  type CarrierSource,
  type Destination,
  type Peer,
  type Propagator,
} from 'logical-context/propagators'
import type { TraceContext } from 'logical-context/variables'
import { ensure, ensureLegal } from '../target.ts'

/** Whether a trace began here, and no service has decided whether to record it. */
export function isUndecidedRoot(trace: TraceContext): boolean {
  return trace.parentSpanId === undefined && trace.sampling === 'defer'
}

/** A result, and the refusals as `reason field`. */
export interface Exchanged<T> {
  found: T
  refusals: string[]
}

/** What a propagator reads from a peer that may set everything. */
export function extractAll(propagator: Propagator, source: CarrierSource): Exchanged<LogicalContext> {
  const refusals: string[] = []
  const peer: Peer = {
    trace: 'continue',
    values: true,
    refuse: (reason, field) => refusals.push(`${reason} ${field}`),
  }
  return { found: propagator.extract(LogicalContext.empty, carrierOf(source), peer), refusals }
}

/** What it writes to a destination that may receive everything; legal in a header. */
export function injectAll(propagator: Propagator, context: LogicalContext): Exchanged<Record<string, string>> {
  const refusals: string[] = []
  const found: Record<string, string> = {}
  const refuse: Destination['refuse'] = (reason, field) => refusals.push(`${reason} ${field}`)
  propagator.inject(context, carrierOf(found), { trace: true, values: true, refuse })
  for (const text of Object.values(found)) ensureLegal(text)
  ensure(refusals.length <= 2 * propagator.fields.length, 'complains of each field at most twice', refusals)
  return { found, refusals }
}
