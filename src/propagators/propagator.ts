import type { AnyContextVar } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { copyText, trimOws } from '../variables/header-text.ts'
import { anyOf, checkArgument } from '../options.ts'
import type { Carrier } from './carrier.ts'

/** Why a field of a carrier, or its value, was refused. */
export type RefusalReason = 'refused' | 'malformed' | 'duplicate' | 'truncated'

/**
 * Called for everything that is dropped. `field` is the name of a header, or of a header and a declared member, such as
 * `baggage.tenant`; never a text that the peer chose.
 */
export type Refuse = (reason: RefusalReason, field: string) => void

/** What is accepted from the sender of a carrier. */
export interface Peer {
  /**
   * `continue` continues the peer's trace and accepts its request id; `restart` begins a new trace that links to the
   * peer's; `ignore` begins a new trace without a link.
   */
  readonly trace: 'continue' | 'restart' | 'ignore'
  /** Whether the peer may set values: baggage, deadlines, own headers. */
  readonly values: boolean
  readonly refuse: Refuse
  /** @internal Called by a propagator that has verified the sender of the carrier's fields. */
  readonly verified?: () => void
}

/** What is written for the receiver of a carrier. */
export interface Destination {
  /** Whether trace identity and request id are written. */
  readonly trace: boolean
  /** Which values are written: all, none, or those of the listed variables. */
  readonly values: boolean | readonly AnyContextVar[]
  readonly refuse: Refuse
}

/** What the opener of a unit adds to an extraction. */
export interface ExtractOptions {
  /**
   * Creates the id of a request that has no usable one: with the propagator's own `generate`, which receives the
   * request, else with the server's. Default: a random UUID.
   */
  readonly newRequestId?: (generate?: (request: never) => string) => string
}

/** Writes variables to a carrier and reads them. It must not throw, whatever a carrier contains. */
export interface Propagator {
  /** The fields that it reads and writes, in lower case. */
  readonly fields: readonly string[]
  /** The variables that it carries. The policy of a message may name only these. Default: none. */
  readonly variables?: readonly AnyContextVar[]
  /** `context` with what the carrier contains and the peer may set. A value that `context` already has is kept. */
  extract(context: LogicalContext, carrier: Carrier, peer: Peer, options?: ExtractOptions): LogicalContext
  /** Writes what the destination may receive. A field that is already set is kept. */
  inject(context: LogicalContext, carrier: Carrier, destination: Destination): void
}

/**
 * Whether a destination may receive the value of a variable.
 *
 * @throws {TypeError} if an argument is of the wrong type.
 */
export function mayInject(destination: Destination, variable: AnyContextVar): boolean {
  const values = destination?.values
  if (typeof values !== 'boolean' && !Array.isArray(values)) checkArgument('mayInject', aDestination, destination)
  if (typeof variable?.sensitive !== 'boolean') checkArgument('mayInject', aVariable, variable)
  if (variable.sensitive) return false
  return typeof values === 'boolean' ? values : values.includes(variable)
}

const aDestination = anyOf('a destination, as inject() of a propagator receives it', () => false)
const aVariable = anyOf('a ContextVar', () => false)

/**
 * @internal The parsed text of a field that must occur once. Undefined if the field is absent, or if it is refused:
 * because `parse` is undefined or returns undefined. Two lines arrive joined by a comma, which no such format contains.
 */
export function readField<T>(
  carrier: Carrier,
  field: string,
  refuse: Refuse,
  parse: ((text: string) => T | undefined) | undefined,
): T | undefined {
  const text: unknown = carrier.get(field)
  // A carrier of the program may return null.
  if (typeof text !== 'string') return undefined
  if (parse === undefined) {
    refuse('refused', field)
    return undefined
  }
  const value = parse(ownText(text))
  if (value === undefined) refuse(text.includes(',') ? 'duplicate' : 'malformed', field)
  return value
}

/** @internal A field's text without whitespace around it. It does not retain the field's text. */
export function ownText(text: string): string {
  const trimmed = trimOws(text)
  return trimmed === text ? text : copyText(trimmed)
}

/** @internal */
export function isPropagator(value: unknown): value is Propagator {
  if (typeof value !== 'object' || value === null) return false
  const { fields, extract, inject } = value as Partial<Propagator>
  const hasFields = Array.isArray(fields) && fields.every((field) => typeof field === 'string')
  return hasFields && typeof extract === 'function' && typeof inject === 'function'
}

/** @internal The result of a function, or undefined if it throws. */
export function attempt<T>(fn: () => T): T | undefined {
  try {
    return fn()
  } catch {
    return undefined
  }
}
