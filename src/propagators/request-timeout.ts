import { anAmount, type Checks, checkOptions, oneOf } from '../options.ts'
import { deadline } from '../variables/deadline.ts'
import { aFieldName } from '../variables/header-text.ts'
import { mayInject, type Propagator, readField } from './propagator.ts'

/** Options of `requestTimeout`. */
export interface RequestTimeoutOptions {
  /** The header's name, in any case. Default: `grpc-timeout`. */
  header?: string
  /**
   * The form of the remaining time: `grpc` is up to 8 digits and one of the units `H M S m u n`, `milliseconds` is a
   * whole number. Default: `grpc`.
   */
  format?: 'grpc' | 'milliseconds'
  /** The longest time that a peer may request, in milliseconds; a longer one is cut to it. Default: 3,600,000, one hour. */
  maxMs?: number
}

const checks: Checks = { header: aFieldName, format: oneOf('grpc', 'milliseconds'), maxMs: anAmount }

/** The units of `grpc-timeout`, in milliseconds. gRPC over HTTP/2, "Timeout" */
const unitsMs = new Map([
  ['H', 3_600_000],
  ['M', 60_000],
  ['S', 1000],
  ['m', 1],
  ['u', 1e-3],
  ['n', 1e-6],
])
/** A positive integer of at most 8 digits. gRPC over HTTP/2, "TimeoutValue" */
const maxGrpcValue = 99_999_999

/**
 * The time by which the work must have ended: absolute in the context, the remaining time on the wire, so that clocks
 * need not agree. Accepted from peers that may set values; the earlier of the peer's and an existing deadline counts. A
 * deadline in the past is written as one millisecond, because no format allows zero.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type.
 * @see {@link https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md gRPC over HTTP/2}
 */
export function requestTimeout(options?: RequestTimeoutOptions): Propagator {
  const {
    header = 'grpc-timeout',
    format = 'grpc',
    maxMs = 3_600_000,
  } = checkOptions('requestTimeout', options, checks)
  const field = header.toLowerCase()
  const [parse, write] = format === 'grpc' ? [parseGrpcTimeout, formatGrpcTimeout] : [parseMs, formatMs]

  return {
    fields: [field],
    variables: [deadline],
    extract(context, carrier, { values, refuse }) {
      const ms = readField(carrier, field, refuse, values ? parse : undefined)
      if (ms === undefined) return context
      if (ms > maxMs) refuse('truncated', field)
      const asked = Date.now() + Math.floor(Math.min(ms, maxMs))
      return context.with(deadline, Math.min(asked, context.get(deadline) ?? Number.POSITIVE_INFINITY))
    },
    inject(context, carrier, destination) {
      const end = context.get(deadline)
      if (end === undefined || !mayInject(destination, deadline) || carrier.has(field)) return
      const remainingMs = Math.max(1, Math.floor(end - Date.now()))
      if (Number.isFinite(remainingMs)) carrier.set(field, write(remainingMs))
      else destination.refuse('malformed', field)
    },
  }
}

function parseGrpcTimeout(text: string): number | undefined {
  const unitMs = unitsMs.get(text.slice(-1))
  const value = parseDigits(text, text.length - 1, 8)
  return unitMs === undefined || value === undefined || value === 0 ? undefined : value * unitMs
}

/** In milliseconds if 8 digits suffice, else in seconds, rounded down: the callee has no more time than the caller. */
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
