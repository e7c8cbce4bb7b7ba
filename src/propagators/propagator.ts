import type { AnyContextVar } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import type { Carrier } from './carrier.ts'

/** What may be wrong with a field of a carrier, or with a value for one. */
export type RefusalReason = 'refused' | 'malformed' | 'duplicate' | 'truncated'

/**
 * Called for what is dropped: nothing is lost in silence. `field` is the name of a header, or of a header and a declared
 * member, such as `baggage.tenant`; never a word that a peer has chosen.
 */
export type Refuse = (reason: RefusalReason, field: string) => void

/** What is believed of the peer that a carrier comes from. */
export interface Peer {
  /**
   * `continue` goes on with the peer's trace and takes its request id; `restart` begins a new trace that links to the
   * peer's; `ignore` begins one that knows nothing of the peer.
   */
  readonly trace: 'continue' | 'restart' | 'ignore'
  /** Whether the peer may set values: baggage, deadlines, own headers. */
  readonly values: boolean
  readonly refuse: Refuse
}

/** What a carrier's destination may be told. */
export interface Destination {
  /** Whether trace identity and request id go out. */
  readonly trace: boolean
  /** Which values go out: all, none, or those of the listed variables. */
  readonly values: boolean | readonly AnyContextVar[]
  readonly refuse: Refuse
}

/** Writes variables to a carrier and reads them back. Nothing that a carrier holds makes it throw. */
export interface Propagator {
  /** The fields it reads and writes, in lower case. */
  readonly fields: readonly string[]
  /** `context` with what the carrier says, as far as the peer is believed. What `context` has already is kept. */
  extract(context: LogicalContext, carrier: Carrier, peer: Peer): LogicalContext
  /** Writes what the destination may know, and nothing over a field that is there already. */
  inject(context: LogicalContext, carrier: Carrier, destination: Destination): void
}

/** Whether a destination may be told the value of a variable. */
export function mayTell(destination: Destination, variable: AnyContextVar): boolean {
  if (variable.sensitive) return false
  const { values } = destination
  return typeof values === 'boolean' ? values : values.includes(variable)
}

/** @internal */
export function isPropagator(value: unknown): value is Propagator {
  if (typeof value !== 'object' || value === null) return false
  const { fields, extract, inject } = value as Partial<Propagator>
  return Array.isArray(fields) && typeof extract === 'function' && typeof inject === 'function'
}
