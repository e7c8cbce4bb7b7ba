import { type Checks, checkOptions } from '../options.ts'
import { isId } from '../variables/hex.ts'
import type { Sampling, TraceContext } from '../variables/trace-context.ts'
import { type Propagator, readField } from './propagator.ts'
import { type CallerTrace, traceFormat, undecidedCheck, type UndecidedOption } from './trace-format.ts'

const field = 'sentry-trace'
const idsLength = 32 + 1 + 16

const checks: Checks = { undecided: undecidedCheck }
const samplingByTail = new Map<string, Sampling>([
  ['', 'defer'],
  ['-', 'defer'],
  ['-1', 'accept'],
  ['-0', 'deny'],
])
const tails: Record<Sampling, string> = { accept: '-1', debug: '-1', deny: '-0', defer: '' }

/**
 * Sentry's `sentry-trace`: `trace-span` or `trace-span-sampled`. Sentry's entries in `baggage`, such as
 * `sentry-environment`, are other members of `w3cBaggage()`: with it in the list, they are passed on unchanged, or dropped
 * if their `sentry-trace_id` is not the trace that is sent, for example after a restart.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type.
 * @see {@link https://develop.sentry.dev/sdk/telemetry/traces/#header-sentry-trace Sentry, "Header sentry-trace"}
 */
export function sentry(options?: UndecidedOption): Propagator {
  const { undecided } = checkOptions('sentry', options, checks)
  return traceFormat({
    fields: [field],
    undecided,
    canDefer: true,
    parse: (carrier, peer) => readField(carrier, field, peer.refuse, parseSentryTrace),
    format: (trace, sampling) => [[field, format(trace, sampling)]],
  })
}

/** Undefined for a malformed text. */
export function parseSentryTrace(text: string): CallerTrace | undefined {
  const sampling = samplingByTail.get(text.slice(idsLength))
  if (sampling === undefined || text.length < idsLength || text.charAt(32) !== '-') return undefined
  if (!isId(text, 0, 32) || !isId(text, 33, 16)) return undefined
  return { traceId: text.slice(0, 32), spanId: text.slice(33, idsLength), flags: 0, sampling }
}

function format({ traceId, spanId }: TraceContext, sampling: Sampling): string {
  return `${traceId}-${spanId}${tails[sampling]}`
}
