import { anAmount, type Checks, checkOptions, oneOf } from '../options.ts'
import { deadline } from '../variables/deadline.ts'
import { trimOws } from '../variables/ows.ts'
import { aFieldName } from './header-field.ts'
import { mayTell, type Propagator } from './propagator.ts'

export interface RequestTimeoutOptions {
  /** The header's name, in any case. Default: `grpc-timeout`. */
  header?: string
  /**
   * How the remaining time is written: `grpc` is up to 8 digits and one of the units `H M S m u n`, `milliseconds` a
   * whole number. Default: `grpc`.
   */
  format?: 'grpc' | 'milliseconds'
  /** The longest time that a peer may ask for, in milliseconds; more is cut to it. Default: 3,600,000, one hour. */
  maxMs?: number
}

const checks: Checks = { header: aFieldName, format: oneOf('grpc', 'milliseconds'), maxMs: anAmount }

/** gRPC over HTTP/2, "Timeout": the units of `grpc-timeout`, in milliseconds. */
const unitsMs = new Map([
  ['H', 3_600_000],
  ['M', 60_000],
  ['S', 1000],
  ['m', 1],
  ['u', 1e-3],
  ['n', 1e-6],
])
/** gRPC over HTTP/2, "TimeoutValue": a positive integer of at most 8 digits. */
const maxGrpcValue = 99_999_999

/**
 * The time by which the work must have ended: absolute in the context, the remaining time on the wire, so that clocks
 * need not agree. Taken from peers that may set values; of an inherited deadline and the peer's, the earlier one. A
 * deadline that is over goes out as one millisecond, since nobody writes none.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type.
 * @see {@link https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md gRPC over HTTP/2}
 */
export function requestTimeout(options?: RequestTimeoutOptions): Propagator {
  checkOptions('requestTimeout', options, checks)
  const { header = 'grpc-timeout', format = 'grpc', maxMs = 3_600_000 } = options ?? {}
  const field = header.toLowerCase()
  const [parse, write] = format === 'grpc' ? [parseGrpcTimeout, formatGrpcTimeout] : [parseMs, formatMs]

  return {
    fields: [field],
    extract(context, carrier, { values, refuse }) {
      const text = carrier.get(field)
      if (text === undefined) return context
      const ms = values ? parse(trimOws(text)) : undefined
      if (ms === undefined) {
        refuse(values ? reasonOf(text) : 'refused', field)
        return context
      }
      if (ms > maxMs) refuse('truncated', field)
      const asked = Date.now() + Math.floor(Math.min(ms, maxMs))
      return context.with(deadline, Math.min(asked, context.get(deadline) ?? Number.POSITIVE_INFINITY))
    },
    inject(context, carrier, destination) {
      const end = context.get(deadline)
      if (end === undefined || !mayTell(destination, deadline) || carrier.has(field)) return
      const remainingMs = Math.max(1, Math.floor(end - Date.now()))
      if (Number.isFinite(remainingMs)) carrier.set(field, write(remainingMs))
      else destination.refuse('malformed', field)
    },
  }
}

function reasonOf(text: string): 'duplicate' | 'malformed' {
  return text.includes(',') ? 'duplicate' : 'malformed'
}

function parseGrpcTimeout(text: string): number | undefined {
  const unitMs = unitsMs.get(text.slice(-1))
  const value = parseDigits(text, text.length - 1, 8)
  return unitMs === undefined || value === undefined || value === 0 ? undefined : value * unitMs
}

/** In the finest unit of ours that 8 digits suffice for, rounded down: nobody gets more time than there is. */
function formatGrpcTimeout(ms: number): string {
  if (ms <= maxGrpcValue) return `${ms}m`
  return `${Math.min(Math.floor(ms / 1000), maxGrpcValue)}S`
}

function parseMs(text: string): number | undefined {
  return parseDigits(text, text.length, 15)
}

function formatMs(ms: number): string {
  return String(Math.min(ms, Number.MAX_SAFE_INTEGER))
}

function parseDigits(text: string, length: number, maxLength: number): number | undefined {
  if (length < 1 || length > maxLength) return undefined
  let value = 0
  for (let i = 0; i < length; i++) {
    const digit = text.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return undefined
    value = value * 10 + digit
  }
  return value
}
