import type { LogicalContext } from '../context/logical-context.ts'
import { trimOws } from '../variables/ows.ts'
import { knownFlags, type TraceContext, traceOf } from '../variables/trace-context.ts'
import { Tracestate } from '../variables/tracestate.ts'
import { maxTracestateLength } from '../variables/tracestate-grammar.ts'
import { adoptTrace, beginTrace, type CallerTrace, hasTrace } from './caller-trace.ts'
import type { Carrier } from './carrier.ts'
import { hexByte, isId } from './hex.ts'
import type { Refuse, Destination, Peer, Propagator } from './propagator.ts'

const parentField = 'traceparent'
const stateField = 'tracestate'

const dash = 0x2d
/** `vv-` + 32 + `-` + 16 + `-ff`. Trace Context level 2, 3.2.2 */
const parentLength = 55
const flagTexts = ['-00', '-01', '-02', '-03'] as const

/**
 * W3C Trace Context level 2: `traceparent` and `tracestate`. After `extract` there is always a trace: the caller's
 * continued, a new one that links to it, or a new one; one that is in the context already is kept.
 *
 * A `traceparent` that breaks the grammar begins a new trace; a `tracestate` that does is dropped whole, the trace kept.
 *
 * @see {@link https://www.w3.org/TR/trace-context-2/ W3C Trace Context level 2}
 */
export function w3cTraceContext(): Propagator {
  return { fields: [parentField, stateField], extract, inject }
}

function extract(context: LogicalContext, carrier: Carrier, peer: Peer): LogicalContext {
  if (hasTrace(context)) return context
  const header = carrier.get(parentField)
  if (header === undefined) return beginTrace(context)
  const caller = parseTraceparent(header)
  if (caller === undefined) {
    peer.refuse(header.includes(',') ? 'duplicate' : 'malformed', parentField)
    return beginTrace(context)
  }
  if (peer.trace !== 'continue') return adoptTrace(context, caller, peer, parentField)
  const text = carrier.get(stateField)
  if (text === undefined || text === '') return adoptTrace(context, caller, peer, parentField)
  return adoptTrace(context, { ...caller, state: readState(text, peer.refuse) }, peer, parentField)
}

/**
 * The caller's span, or undefined for a header that breaks the grammar. Two headers, which come joined by a comma, are
 * none, whatever the first one says. Trace Context level 2, 3.2.2 and 3.2.4
 */
export function parseTraceparent(header: string): CallerTrace | undefined {
  const text = trimOws(header)
  const version = hexByte(text, 0)
  if (version >= 0xff || text.length < parentLength) return undefined
  if (text.charCodeAt(2) !== dash || text.charCodeAt(35) !== dash || text.charCodeAt(52) !== dash) return undefined
  if (text.length > parentLength) {
    const mayHaveTail = version > 0 && text.charCodeAt(parentLength) === dash
    if (!mayHaveTail || text.includes(',', parentLength)) return undefined
  }
  const flags = hexByte(text, 53)
  if (flags > 0xff || !isId(text, 3, 32) || !isId(text, 36, 16)) return undefined
  return { traceId: text.slice(3, 35), spanId: text.slice(36, 52), flags: flags & knownFlags }
}

function inject(context: LogicalContext, carrier: Carrier, destination: Destination): void {
  const trace = traceOf(context)
  if (trace === undefined || !destination.trace || carrier.has(parentField)) return
  carrier.set(parentField, formatTraceparent(trace))
  if (trace.state === Tracestate.empty) return
  const text = trace.state.toString()
  if (text === '') {
    if (trace.state.problem !== undefined) destination.refuse(trace.state.problem, stateField)
    return
  }
  if (!carrier.has(stateField)) carrier.set(stateField, text)
}

/** Version 00, whatever the caller's was. Trace Context level 2, 3.2.4 */
function formatTraceparent(trace: TraceContext): string {
  return `00-${trace.traceId}-${trace.spanId}${flagTexts[trace.flags & knownFlags]}`
}

/** A text within the limit is read when it is asked for; a longer one is cut at once, so that it is not kept whole. */
function readState(text: string, refuse: Refuse): Tracestate {
  const state = Tracestate.parse(text)
  if (text.length > maxTracestateLength && state.problem !== undefined) refuse(state.problem, stateField)
  return state
}
