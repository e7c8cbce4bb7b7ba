import { type Checks, checkOptions, oneOf } from '../options.ts'
import { trimOws } from '../variables/header-text.ts'
import { isHex, isId } from '../variables/hex.ts'
import type { Sampling, TraceContext } from '../variables/trace-context.ts'
import type { Carrier } from './carrier.ts'
import { type Peer, ownText, type Propagator, readField } from './propagator.ts'
import {
  type CallerDecision,
  type CallerTrace,
  shortTraceId,
  traceFormat,
  undecidedCheck,
  type UndecidedOption,
} from './trace-format.ts'

/** Options of `b3`. */
export interface B3Options extends UndecidedOption {
  /** The form to write: the header `b3`, or one header per item. Both forms are read. Default: `single`. */
  inject?: 'single' | 'multi'
}

const checks: Checks = { inject: oneOf('single', 'multi'), undecided: undecidedCheck }

const singleField = 'b3'
const traceField = 'x-b3-traceid'
const spanField = 'x-b3-spanid'
const parentField = 'x-b3-parentspanid'
const sampledField = 'x-b3-sampled'
const flagsField = 'x-b3-flags'
const multiFields = [traceField, spanField, parentField, sampledField, flagsField] as const

const dash = 0x2d
const samplingByLetter = new Map<string, Sampling>([
  ['0', 'deny'],
  ['1', 'accept'],
  ['d', 'debug'],
])
const letters: Record<Sampling, string> = { deny: '-0', accept: '-1', debug: '-d', defer: '' }

/** `true` and `false` are older than the specification, which allows readers to accept them. */
const samplingByText = new Map<string, Sampling>([
  ['1', 'accept'],
  ['true', 'accept'],
  ['0', 'deny'],
  ['false', 'deny'],
])

/**
 * B3, in one header or in several, with all its sampling states: accept, deny, debug, defer, and a decision without ids.
 * The `b3` header has precedence. A trace id of 16 digits has leading zeros in the context, and is written with 16
 * digits again.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type.
 * @see {@link https://github.com/openzipkin/b3-propagation B3 propagation}
 */
export function b3(options?: B3Options): Propagator {
  const { inject = 'single', undecided } = checkOptions('b3', options, checks)
  const isMulti = inject === 'multi'
  return traceFormat({
    fields: [singleField, ...multiFields],
    exclusive: isMulti ? multiFields : [singleField],
    undecided,
    canDefer: true,
    parse,
    format: isMulti ? formatMulti : formatSingle,
  })
}

function parse(carrier: Carrier, peer: Peer): CallerTrace | CallerDecision | undefined {
  return readField(carrier, singleField, peer.refuse, parseB3Single) ?? readMulti(carrier, peer)
}

/**
 * Parses `trace-span`, `trace-span-state`, `trace-span-state-parent` or `state`. If the state is deferred, the third part
 * is the parent, which is not used here. Undefined for a malformed text.
 */
export function parseB3Single(text: string): CallerTrace | CallerDecision | undefined {
  if (text.length === 1) return decisionOf(samplingByLetter.get(text), singleField)
  const traceLength = text.charCodeAt(16) === dash ? 16 : 32
  const afterSpan = traceLength + 17
  if (text.charCodeAt(traceLength) !== dash) return undefined
  const sampling = parseTail(text, afterSpan)
  if (sampling === undefined) return undefined
  return callerOf(text.slice(0, traceLength), text.slice(traceLength + 1, afterSpan), sampling, singleField)
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

function readMulti(carrier: Carrier, { refuse }: Peer): CallerTrace | CallerDecision | undefined {
  const traceId = carrier.get(traceField) ?? undefined
  const spanId = carrier.get(spanField) ?? undefined
  const sampling = readSampling(carrier, refuse)
  if (traceId === undefined && spanId === undefined) {
    return sampling === 'defer' ? undefined : decisionOf(sampling, traceField)
  }
  const found = callerOf(ownText(traceId ?? ''), ownText(spanId ?? ''), sampling, traceField)
  if (found === undefined) refuse(`${traceId}${spanId}`.includes(',') ? 'duplicate' : 'malformed', traceField)
  return found
}

/** A state that cannot be read is deferred. */
function readSampling(carrier: Carrier, refuse: Peer['refuse']): Sampling {
  if (trimOws(carrier.get(flagsField) ?? '') === '1') return 'debug'
  return readField(carrier, sampledField, refuse, (text) => samplingByText.get(text)) ?? 'defer'
}

/** The caller's span, or undefined if an id has the wrong length or only zeros. */
function callerOf(traceId: string, spanId: string, sampling: Sampling, field: string): CallerTrace | undefined {
  const isTraceId = (traceId.length === 16 || traceId.length === 32) && isId(traceId, 0, traceId.length)
  if (!isTraceId || spanId.length !== 16 || !isId(spanId, 0, 16)) return undefined
  return { traceId: traceId.padStart(32, '0'), spanId, flags: 0, sampling, field }
}

function decisionOf(sampling: Sampling | undefined, field: string): CallerDecision | undefined {
  return sampling === undefined ? undefined : { sampling, field }
}

/** Without the parent if the state is deferred: in the third place, readers would take it for the state. */
function formatSingle(trace: TraceContext, sampling: Sampling): [field: string, text: string][] {
  const state = letters[sampling]
  const parent = state === '' || trace.parentSpanId === undefined ? '' : `-${trace.parentSpanId}`
  return [[singleField, `${shortTraceId(trace.traceId)}-${trace.spanId}${state}${parent}`]]
}

function formatMulti(trace: TraceContext, sampling: Sampling): [field: string, text: string][] {
  const lines: [field: string, text: string][] = [
    [traceField, shortTraceId(trace.traceId)],
    [spanField, trace.spanId],
  ]
  if (trace.parentSpanId !== undefined) lines.push([parentField, trace.parentSpanId])
  if (sampling === 'debug') lines.push([flagsField, '1'])
  else if (sampling !== 'defer') lines.push([sampledField, sampling === 'accept' ? '1' : '0'])
  return lines
}
