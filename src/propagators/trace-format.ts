import type { LogicalContext } from '../context/logical-context.ts'
import { type Check, oneOf } from '../options.ts'
import { randomFlag, type Sampling, TraceContext, traceContext, traceOf } from '../variables/trace-context.ts'
import type { Tracestate } from '../variables/tracestate.ts'
import type { Carrier } from './carrier.ts'
import type { Peer, Propagator, Refuse } from './propagator.ts'

/** The caller's span, as any format describes it. */
export interface CallerTrace {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string
  /** Those of the 8 trace flags that are known here. */
  readonly flags: number
  readonly sampling?: Sampling | undefined
  readonly state?: Tracestate | undefined
  /** The field to name in a refusal. Default: the format's first field. */
  readonly field?: string | undefined
}

/** A trace that a proxy began without a span: the request is its first span. A format that finds a span replaces it. */
export interface CallerRoot extends Omit<CallerTrace, 'spanId'> {
  readonly spanId?: undefined
}

/** A sampling decision for the trace that begins here, without a span. */
export interface CallerDecision {
  readonly traceId?: undefined
  readonly sampling: Sampling
  readonly field?: string | undefined
}

/** An option of each trace format. */
export interface UndecidedOption {
  /**
   * The sampling decision to write for a trace that began here and that no service has decided: `accept`, `deny`, or
   * `defer` for none. A format that cannot express `defer` is not written then. Default: `accept`, because readers take
   * "not sampled" for a decision and record nothing.
   */
  undecided?: 'accept' | 'deny' | 'defer'
}

export const undecidedCheck: Check = oneOf('accept', 'deny', 'defer')

export interface TraceFormat extends UndecidedOption {
  /** The fields that are read or written, in lower case. */
  readonly fields: readonly string[]
  /** If the carrier has one of these fields, nothing is written. Default: all fields. */
  readonly exclusive?: readonly string[]
  /** Reads the caller's span; calls `peer.refuse` for a malformed or repeated field. Must not throw. */
  readonly parse: (carrier: Carrier, peer: Peer) => CallerTrace | CallerRoot | CallerDecision | undefined
  /** Whether the format can express that the caller leaves the sampling decision to the callee. */
  readonly canDefer?: boolean
  /** The fields to write, with their texts. `sampling` replaces the decision of the trace. */
  readonly format: (
    trace: TraceContext,
    sampling: Sampling,
    refuse: Refuse,
  ) => readonly (readonly [field: string, text: string])[]
}

/**
 * The propagator of a trace format. After `extract` the context always has a trace: the caller's, a new one that links
 * to the caller's, or a new one. A trace that the context already has is kept.
 */
export function traceFormat(spec: TraceFormat): Propagator {
  const { fields, exclusive = fields, undecided = 'accept', canDefer = false, parse, format } = spec
  const [firstField = ''] = fields

  /** A trace id without the random flag came from a caller that deferred the decision: that is passed on unchanged. */
  function decisionFor({ flags }: TraceContext): Sampling {
    return canDefer && (flags & randomFlag) === 0 ? 'defer' : undecided
  }

  return {
    fields,
    variables: [traceContext],
    extract(context, carrier, peer) {
      if (hasTrace(context)) return context
      const caller = parse(carrier, peer)
      if (caller === undefined) return beginTrace(context)
      const field = caller.field ?? firstField
      return caller.traceId === undefined
        ? decide(context, caller.sampling, peer, field)
        : adopt(context, caller, peer, field)
    },
    inject(context, carrier, destination) {
      const trace = destination.trace ? traceOf(context) : undefined
      if (trace === undefined || exclusive.some((field) => carrier.has(field))) return
      const sampling = trace.sampling === 'defer' ? decisionFor(trace) : trace.sampling
      if (sampling === 'defer' && !canDefer) return
      for (const [field, text] of format(trace, sampling, destination.refuse)) {
        if (!carrier.has(field)) carrier.set(field, text)
      }
    },
  }
}

/** A trace id of 64 bits has 16 digits on the wire. */
export function shortTraceId(traceId: string): string {
  return traceId.startsWith('0000000000000000') ? traceId.slice(16) : traceId
}

/** Whether a format found a trace. A root that this process began does not count, so that the next format can find one. */
function hasTrace(context: LogicalContext): boolean {
  const known = context.get(traceContext)
  return known !== undefined && (known.parentSpanId !== undefined || known.link !== undefined)
}

/** `context` with a child of the caller's span, or with the root of a new trace. */
function adopt(context: LogicalContext, caller: CallerTrace | CallerRoot, peer: Peer, field: string): LogicalContext {
  const { traceId, spanId, flags, sampling, state } = caller
  if (peer.trace === 'continue') {
    const trace = new TraceContext({ traceId, parentSpanId: spanId, flags, sampling, state })
    return context.with(traceContext, trace)
  }
  peer.refuse('refused', field)
  if (peer.trace === 'ignore' || spanId === undefined) return beginTrace(context)
  return context.with(traceContext, new TraceContext({ link: { traceId, spanId } }))
}

function decide(context: LogicalContext, sampling: Sampling, peer: Peer, field: string): LogicalContext {
  if (peer.trace !== 'continue') {
    peer.refuse('refused', field)
    return beginTrace(context)
  }
  const known = context.get(traceContext)
  if (known === undefined) return context.with(traceContext, new TraceContext({ sampling }))
  // A trace that begins here keeps its id: it is the same in each attempt of a message.
  const { traceId, flags } = known
  return known.sampling === 'defer'
    ? context.with(traceContext, new TraceContext({ traceId, flags, sampling }))
    : context
}

function beginTrace(context: LogicalContext): LogicalContext {
  return context.has(traceContext) ? context : context.with(traceContext, new TraceContext())
}
