import type { LogicalContext } from '../context/logical-context.ts'
import { type Sampling, TraceContext, traceContext } from '../variables/trace-context.ts'
import type { Tracestate } from '../variables/tracestate.ts'
import type { Peer } from './propagator.ts'

/** The caller's span, as every format tells of it. */
export interface CallerTrace {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string
  /** Of the 8 trace flags those that are known here. */
  readonly flags: number
  readonly sampling?: Sampling | undefined
  readonly state?: Tracestate | undefined
}

/** Whether a trace was found before: a root that this process began is none, so that the next format may find one. */
export function hasTrace(context: LogicalContext): boolean {
  const known = context.get(traceContext)
  return known !== undefined && (known.parentSpanId !== undefined || known.link !== undefined)
}

/** `context` below the caller's span, or at the root of a new trace that links to it. */
export function adoptTrace(context: LogicalContext, caller: CallerTrace, peer: Peer, field: string): LogicalContext {
  const { traceId, spanId, flags, sampling, state } = caller
  if (peer.trace === 'continue') {
    const trace = new TraceContext({ traceId, parentSpanId: spanId, flags, sampling, state })
    return context.with(traceContext, trace)
  }
  peer.refuse('refused', field)
  if (peer.trace === 'ignore') return beginTrace(context)
  return context.with(traceContext, new TraceContext({ link: { traceId, spanId } }))
}

/** `context` with a trace: the root of a new one if there is none yet. */
export function beginTrace(context: LogicalContext): LogicalContext {
  return context.has(traceContext) ? context : context.with(traceContext, new TraceContext())
}
