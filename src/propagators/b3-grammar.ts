import type { Sampling, TraceContext } from '../variables/trace-context.ts'
import type { CallerTrace } from './caller-trace.ts'
import { isHex, isId } from './hex.ts'

/** What B3 says: the caller's span with a sampling state, or a sampling state alone. */
export type B3 = CallerTrace | Sampling

const dash = 0x2d
const samplingByLetter = new Map<string, Sampling>([
  ['0', 'deny'],
  ['1', 'accept'],
  ['d', 'debug'],
])
const letters: Record<Sampling, string> = { deny: '-0', accept: '-1', debug: '-d', defer: '' }

/**
 * `trace-span`, `trace-span-state`, `trace-span-state-parent` or `state`; the parent, which stands at the third place
 * where the state is deferred, is the caller's affair. Undefined for what breaks the grammar.
 */
export function parseB3Single(text: string): B3 | undefined {
  if (text.length === 1) return samplingByLetter.get(text)
  const traceLength = text.charCodeAt(16) === dash ? 16 : 32
  const afterSpan = traceLength + 17
  if (text.charCodeAt(traceLength) !== dash) return undefined
  const sampling = parseTail(text, afterSpan)
  if (sampling === undefined) return undefined
  return callerOf(text.slice(0, traceLength), text.slice(traceLength + 1, afterSpan), sampling)
}

/** The caller's span, or undefined if an id has not its exact length or is all zero. */
export function callerOf(traceId: string, spanId: string, sampling: Sampling): CallerTrace | undefined {
  const isTraceId = (traceId.length === 16 || traceId.length === 32) && isId(traceId, 0, traceId.length)
  if (!isTraceId || spanId.length !== 16 || !isId(spanId, 0, 16)) return undefined
  return { traceId: traceId.padStart(32, '0'), spanId, flags: 0, sampling }
}

/** Without the parent where the state is deferred: in the third place it would be read as the state. */
export function formatB3Single(trace: TraceContext): string {
  const state = letters[trace.sampling]
  const parent = state === '' || trace.parentSpanId === undefined ? '' : `-${trace.parentSpanId}`
  return `${shortTraceId(trace.traceId)}-${trace.spanId}${state}${parent}`
}

/** An id of 64 bits goes out as it came, with 16 digits. */
export function shortTraceId(traceId: string): string {
  return traceId.startsWith('0000000000000000') ? traceId.slice(16) : traceId
}

function parseTail(text: string, start: number): Sampling | undefined {
  if (text.length === start) return 'defer'
  if (text.charCodeAt(start) !== dash) return undefined
  if (isParentAt(text, start + 1)) return 'defer'
  const sampling = samplingByLetter.get(text.charAt(start + 1))
  if (sampling === undefined || text.length === start + 2) return sampling
  return text.charCodeAt(start + 2) === dash && isParentAt(text, start + 3) ? sampling : undefined
}

function isParentAt(text: string, start: number): boolean {
  return text.length === start + 16 && isHex(text, start, 16)
}
