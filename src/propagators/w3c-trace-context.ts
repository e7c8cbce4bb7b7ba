import { type Checks, checkOptions } from '../options.ts'
import { copyText } from '../variables/header-text.ts'
import { hexByte, isId } from '../variables/hex.ts'
import { flagsFor, knownFlags, type Sampling, type TraceContext } from '../variables/trace-context.ts'
import { maxTracestateLength, Tracestate } from '../variables/tracestate.ts'
import type { Carrier } from './carrier.ts'
import { type Peer, type Propagator, readField, type Refuse } from './propagator.ts'
import { type CallerTrace, traceFormat, undecidedCheck, type UndecidedOption } from './trace-format.ts'

const parentField = 'traceparent'
const stateField = 'tracestate'

const dash = 0x2d
/** `vv-` + 32 + `-` + 16 + `-ff`. W3C Trace Context level 2, 3.2.2 */
const parentLength = 55
const flagTexts = ['-00', '-01', '-02', '-03'] as const

const checks: Checks = { undecided: undecidedCheck }

/**
 * W3C Trace Context level 2: `traceparent` and `tracestate`. After `extract` the context always has a trace: the
 * caller's, a new one that links to the caller's, or a new one. A trace that the context already has is kept.
 *
 * A malformed `traceparent` begins a new trace. A malformed `tracestate` is dropped, and the trace continues.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type.
 * @see {@link https://www.w3.org/TR/trace-context-2/ W3C Trace Context level 2}
 */
export function w3cTraceContext(options?: UndecidedOption): Propagator {
  const { undecided } = checkOptions('w3cTraceContext', options, checks)
  return traceFormat({ fields: [parentField, stateField], exclusive: [parentField], undecided, parse, format })
}

function parse(carrier: Carrier, peer: Peer): CallerTrace | undefined {
  const caller = readField(carrier, parentField, peer.refuse, parseTraceparent)
  if (caller === undefined || peer.trace !== 'continue') return caller
  const text = carrier.get(stateField) ?? ''
  return text === '' ? caller : { ...caller, state: readState(text, peer.refuse) }
}

/**
 * The caller's span, or undefined for a malformed text. Two headers, which arrive joined by a comma, are malformed. W3C
 * Trace Context level 2, 3.2.2 and 3.2.4
 */
export function parseTraceparent(text: string): CallerTrace | undefined {
  const version = hexByte(text, 0)
  if (version >= 0xff || text.length < parentLength) return undefined
  if (text.charCodeAt(2) !== dash || text.charCodeAt(35) !== dash || text.charCodeAt(52) !== dash) return undefined
  if (text.length > parentLength) {
    const mayHaveTail = version > 0 && text.charCodeAt(parentLength) === dash
    if (!mayHaveTail || text.includes(',', parentLength)) return undefined
  }
  const flags = hexByte(text, 53)
  if (flags > 0xff || !isId(text, 3, 32) || !isId(text, 36, 16)) return undefined
  // The ids retain the text they are cut from, so the tail of a later version is cut off first.
  const own = text.length > parentLength ? copyText(text.slice(0, parentLength)) : text
  return { traceId: own.slice(3, 35), spanId: own.slice(36, 52), flags: flags & knownFlags }
}

/** Version 00, whatever the caller's version was. W3C Trace Context level 2, 3.2.4 */
function format(trace: TraceContext, sampling: Sampling, refuse: Refuse): [field: string, text: string][] {
  const parent: [string, string] = [parentField, formatTraceparent(trace, sampling)]
  if (trace.state === Tracestate.empty) return [parent]
  const { refusal } = trace.state
  // A truncated text was reported when it was read.
  if (refusal === 'malformed' || refusal === 'duplicate') refuse(refusal, stateField)
  const text = trace.state.toString()
  return text === '' ? [parent] : [parent, [stateField, text]]
}

export function formatTraceparent({ traceId, spanId, flags }: TraceContext, sampling: Sampling): string {
  return `00-${traceId}-${spanId}${flagTexts[flagsFor(flags, sampling) & knownFlags]}`
}

/** A text within the limit is parsed at its first use. A longer text is cut at once. */
function readState(text: string, refuse: Refuse): Tracestate {
  const state = Tracestate.parse(text)
  if (text.length > maxTracestateLength && state.refusal !== undefined) refuse(state.refusal, stateField)
  return state
}
