import { type Checks, checkOptions } from '../options.ts'
import { hexByte, isHex, isId } from '../variables/hex.ts'
import type { Sampling, TraceContext } from '../variables/trace-context.ts'
import { type Propagator, readField } from './propagator.ts'
import { type CallerTrace, shortTraceId, traceFormat, undecidedCheck, type UndecidedOption } from './trace-format.ts'

const field = 'uber-trace-id'
/** Ids of 32, 16 and 16 digits, two digits of flags, and three colons that may be percent-encoded. */
const maxLength = 32 + 16 + 16 + 2 + 3 * 3

const sampledBit = 1
const debugBit = 2
const flagTexts: Record<Sampling, string> = { accept: '01', deny: '00', defer: '00', debug: '03' }

const checks: Checks = { undecided: undecidedCheck }

/**
 * Jaeger's `uber-trace-id`: `trace:span:parent:flags`. Ids may come without their leading zeros, and in upper case. The
 * parent is ignored, as Jaeger requires. Jaeger's own baggage headers, `uberctx-…`, are neither read nor written.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type.
 * @see {@link https://www.jaegertracing.io/sdk-migration/#propagation-format Jaeger, "Propagation format"}
 */
export function jaeger(options?: UndecidedOption): Propagator {
  const { undecided } = checkOptions('jaeger', options, checks)
  return traceFormat({
    fields: [field],
    undecided,
    parse: (carrier, peer) => readField(carrier, field, peer.refuse, parse),
    format: (trace, sampling) => [[field, format(trace, sampling)]],
  })
}

function parse(text: string): CallerTrace | undefined {
  if (text.length > maxLength) return undefined
  // Some clients percent-encode the header's value.
  const parts = text.toLowerCase().replaceAll('%3a', ':').split(':')
  const [trace = '', span = '', parent = '', flags = ''] = parts
  if (parts.length !== 4 || !isNumber(parent, 16) || !isNumber(flags, 2)) return undefined
  if (!isNumber(trace, 32) || !isNumber(span, 16)) return undefined
  const traceId = trace.padStart(32, '0')
  const spanId = span.padStart(16, '0')
  if (!isId(traceId, 0, 32) || !isId(spanId, 0, 16)) return undefined
  return { traceId, spanId, flags: 0, sampling: samplingOf(hexByte(flags.padStart(2, '0'), 0)) }
}

function isNumber(text: string, maxDigits: number): boolean {
  return text !== '' && text.length <= maxDigits && isHex(text, 0, text.length)
}

function samplingOf(flags: number): Sampling {
  if ((flags & debugBit) !== 0) return 'debug'
  return (flags & sampledBit) === 0 ? 'deny' : 'accept'
}

function format(trace: TraceContext, sampling: Sampling): string {
  const parent = trace.parentSpanId ?? '0'
  return `${shortTraceId(trace.traceId)}:${trace.spanId}:${parent}:${flagTexts[sampling]}`
}
