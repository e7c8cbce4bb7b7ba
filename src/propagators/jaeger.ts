import type { LogicalContext } from '../context/logical-context.ts'
import { trimOws } from '../variables/ows.ts'
import { type Sampling, type TraceContext, traceOf } from '../variables/trace-context.ts'
import { shortTraceId } from './b3-grammar.ts'
import { adoptTrace, beginTrace, type CallerTrace, hasTrace } from './caller-trace.ts'
import type { Carrier } from './carrier.ts'
import { hexByte, isHex, isId } from './hex.ts'
import type { Destination, Peer, Propagator } from './propagator.ts'

const field = 'uber-trace-id'
/** Ids of 32, 16 and 16 digits, two of flags, three colons that may be percent-encoded. */
const maxLength = 32 + 16 + 16 + 2 + 3 * 3

const sampledBit = 1
const debugBit = 2
/** Jaeger has no word for "nobody has decided": its clients write it as not sampled. */
const flagTexts: Record<Sampling, string> = { accept: '01', deny: '00', defer: '00', debug: '03' }

/**
 * Jaeger's `uber-trace-id`: `trace:span:parent:flags`. Ids may come short, without the zeros in front, and in upper
 * case; the parent is not read, as Jaeger asks. Jaeger's own baggage headers, `uberctx-…`, are not read or written.
 *
 * @see {@link https://www.jaegertracing.io/sdk-migration/#propagation-format Jaeger, "Propagation format"}
 */
export function jaeger(): Propagator {
  return { fields: [field], extract, inject }
}

function extract(context: LogicalContext, carrier: Carrier, peer: Peer): LogicalContext {
  if (hasTrace(context)) return context
  const text = carrier.get(field)
  if (text === undefined) return beginTrace(context)
  const caller = parse(trimOws(text))
  if (caller !== undefined) return adoptTrace(context, caller, peer, field)
  peer.refuse(text.includes(',') ? 'duplicate' : 'malformed', field)
  return beginTrace(context)
}

function inject(context: LogicalContext, carrier: Carrier, destination: Destination): void {
  const trace = traceOf(context)
  if (trace === undefined || !destination.trace || carrier.has(field)) return
  carrier.set(field, format(trace))
}

function parse(text: string): CallerTrace | undefined {
  if (text.length > maxLength) return undefined
  // Some clients encode the header's value as they do baggage.
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

function format(trace: TraceContext): string {
  const parent = trace.parentSpanId ?? '0'
  return `${shortTraceId(trace.traceId)}:${trace.spanId}:${parent}:${flagTexts[trace.sampling]}`
}
