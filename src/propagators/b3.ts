import type { LogicalContext } from '../context/logical-context.ts'
import { type Checks, checkOptions, oneOf } from '../options.ts'
import { trimOws } from '../variables/ows.ts'
import { type Sampling, TraceContext, traceContext, traceOf } from '../variables/trace-context.ts'
import { type B3, callerOf, formatB3Single, parseB3Single, shortTraceId } from './b3-grammar.ts'
import { adoptTrace, beginTrace, hasTrace } from './caller-trace.ts'
import type { Carrier } from './carrier.ts'
import type { Refuse, Peer, Propagator } from './propagator.ts'

export interface B3Options {
  /** Which form goes out: the header `b3`, or one header an item. Both are read. Default: `single`. */
  inject?: 'single' | 'multi'
}

const checks: Checks = { inject: oneOf('single', 'multi') }

const singleField = 'b3'
const traceField = 'x-b3-traceid'
const spanField = 'x-b3-spanid'
const parentField = 'x-b3-parentspanid'
const sampledField = 'x-b3-sampled'
const flagsField = 'x-b3-flags'
const multiFields = [traceField, spanField, parentField, sampledField, flagsField] as const

/** `true` and `false` are of the time before the specification, which lets readers take them. */
const samplingByText = new Map<string, Sampling>([
  ['1', 'accept'],
  ['true', 'accept'],
  ['0', 'deny'],
  ['false', 'deny'],
])

/**
 * B3, in one header or in several, with all its sampling states: accept, deny, debug, defer, and a decision without ids.
 * A `b3` header is read before the others. Trace ids of 16 digits have zeros in front in the context, and go out with
 * 16 digits again.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type.
 * @see {@link https://github.com/openzipkin/b3-propagation B3 propagation}
 */
export function b3(options?: B3Options): Propagator {
  checkOptions('b3', options, checks)
  const { inject = 'single' } = options ?? {}

  return {
    fields: [singleField, ...multiFields],
    extract,
    inject(context, carrier, destination) {
      const trace = traceOf(context)
      if (trace === undefined || !destination.trace) return
      if (inject === 'multi') return injectMulti(trace, carrier)
      if (!carrier.has(singleField)) carrier.set(singleField, formatB3Single(trace))
    },
  }
}

function extract(context: LogicalContext, carrier: Carrier, peer: Peer): LogicalContext {
  if (hasTrace(context)) return context
  const single = readSingle(carrier, peer.refuse)
  if (single !== undefined) return take(context, single, peer, singleField)
  const multi = readMulti(carrier, peer.refuse)
  return multi === undefined ? beginTrace(context) : take(context, multi, peer, traceField)
}

function take(context: LogicalContext, found: B3, peer: Peer, field: string): LogicalContext {
  if (typeof found !== 'string') return adoptTrace(context, found, peer, field)
  if (peer.trace !== 'continue') {
    peer.refuse('refused', field)
    return beginTrace(context)
  }
  // A decision without ids is for the trace that begins here.
  const known = context.get(traceContext)?.sampling ?? 'defer'
  return known === 'defer' ? context.with(traceContext, new TraceContext({ sampling: found })) : context
}

function readSingle(carrier: Carrier, refuse: Refuse): B3 | undefined {
  const text = carrier.get(singleField)
  if (text === undefined) return undefined
  const found = parseB3Single(trimOws(text))
  if (found === undefined) refuse(text.includes(',') ? 'duplicate' : 'malformed', singleField)
  return found
}

function readMulti(carrier: Carrier, refuse: Refuse): B3 | undefined {
  const traceId = carrier.get(traceField)
  const spanId = carrier.get(spanField)
  const sampling = readSampling(carrier, refuse)
  if (traceId === undefined && spanId === undefined) return sampling === 'defer' ? undefined : sampling
  const found = callerOf(trimOws(traceId ?? ''), trimOws(spanId ?? ''), sampling)
  if (found === undefined) refuse(`${traceId}${spanId}`.includes(',') ? 'duplicate' : 'malformed', traceField)
  return found
}

/** A state that cannot be read is as good as none: deferred. */
function readSampling(carrier: Carrier, refuse: Refuse): Sampling {
  if (trimOws(carrier.get(flagsField) ?? '') === '1') return 'debug'
  const text = carrier.get(sampledField)
  if (text === undefined) return 'defer'
  const sampling = samplingByText.get(trimOws(text))
  if (sampling === undefined) refuse(text.includes(',') ? 'duplicate' : 'malformed', sampledField)
  return sampling ?? 'defer'
}

/** All or nothing: the ids of one trace with the decision for another would be neither. */
function injectMulti(trace: TraceContext, carrier: Carrier): void {
  if (multiFields.some((field) => carrier.has(field))) return
  carrier.set(traceField, shortTraceId(trace.traceId))
  carrier.set(spanField, trace.spanId)
  if (trace.parentSpanId !== undefined) carrier.set(parentField, trace.parentSpanId)
  if (trace.sampling === 'debug') carrier.set(flagsField, '1')
  else if (trace.sampling !== 'defer') carrier.set(sampledField, trace.sampling === 'accept' ? '1' : '0')
}
