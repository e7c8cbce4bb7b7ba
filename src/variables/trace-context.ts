import { bridge } from '../context/bridge.ts'
import { ContextVar, peek } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { processSingleton } from '../context/storage.ts'
import { newSpanId, newTraceId } from './ids.ts'
import { Tracestate } from './tracestate.ts'

/** The caller may have recorded the trace. W3C Trace Context level 2, 3.2.2.5.1 */
export const sampledFlag = 0x01
/** At least the last 7 bytes of the trace id are random. W3C Trace Context level 2, 3.2.2.5.2 */
export const randomFlag = 0x02
/** All other flags are written as zero. W3C Trace Context level 2, 3.2.2.5.3 */
export const knownFlags = sampledFlag | randomFlag

/**
 * Whether the trace is recorded, in B3's words, which say more than the sampled flag: `defer` means that no service has
 * decided yet, `debug` is a stronger `accept`.
 */
export type Sampling = 'accept' | 'deny' | 'defer' | 'debug'

/** The identity of another span. */
export interface SpanLink {
  /** 32 lower-case hex digits. */
  readonly traceId: string
  /** 16 lower-case hex digits. */
  readonly spanId: string
}

/** The properties of a new `TraceContext`. */
export interface TraceContextInit {
  /** 32 lower-case hex digits. Default: a new id, with the random flag set. */
  traceId?: string
  /** 16 lower-case hex digits. Default: a new id, made at the first read. */
  spanId?: string
  /** The parent span, in this process or at the caller. */
  parentSpanId?: string | undefined
  /** The 8 trace flags. Default: the random flag for a new trace id, else none. */
  flags?: number
  /** Also sets the sampled flag. Default: as in the flags; `defer` without flags. */
  sampling?: Sampling | undefined
  /** Default: empty. */
  state?: Tracestate | undefined
  /** The span that caused this one without being its parent. */
  link?: SpanLink | undefined
}

/**
 * The position of a unit in a trace: its own span and the parent span. Immutable.
 *
 * @see {@link https://www.w3.org/TR/trace-context-2/ W3C Trace Context level 2}
 */
export class TraceContext implements SpanLink {
  readonly traceId: string
  readonly parentSpanId: string | undefined
  readonly flags: number
  readonly sampling: Sampling
  readonly state: Tracestate
  readonly link: SpanLink | undefined
  #spanId: string | undefined

  /** Does not check its values: check a peer's values first. */
  constructor(init: TraceContextInit = {}) {
    this.traceId = init.traceId ?? newTraceId()
    const flags = init.flags ?? (init.traceId === undefined ? randomFlag : 0)
    this.sampling = init.sampling ?? (init.flags === undefined ? 'defer' : samplingOf(flags))
    this.flags = flagsFor(flags, this.sampling)
    this.parentSpanId = init.parentSpanId
    this.state = init.state ?? Tracestate.empty
    this.link = init.link
    this.#spanId = init.spanId
  }

  /** 16 lower-case hex digits. Made at the first read, because many tasks never show their id. */
  get spanId(): string {
    return (this.#spanId ??= newSpanId())
  }

  get sampled(): boolean {
    return (this.flags & sampledFlag) !== 0
  }

  /** A child span in the same trace. */
  child(): TraceContext {
    return new TraceContext({
      traceId: this.traceId,
      parentSpanId: this.spanId,
      flags: this.flags,
      sampling: this.sampling,
      state: this.state,
    })
  }

  /** The root of a new trace that links to this span. The caller's sampling decision is not inherited. */
  restart(): TraceContext {
    return new TraceContext({ link: { traceId: this.traceId, spanId: this.spanId } })
  }

  /** The same for the unit's own work: a decision not to record is inherited. */
  separate(): TraceContext {
    if (this.sampling !== 'deny') return this.restart()
    return new TraceContext({ link: { traceId: this.traceId, spanId: this.spanId }, sampling: 'deny' })
  }
}

/** The current unit's position in its trace. A spawned task has a child span, an isolated task a new, linked trace. */
export const traceContext: ContextVar<TraceContext> = processSingleton(
  'traceContext',
  () =>
    new ContextVar<TraceContext>('traceContext', {
      onSpawn: (trace, crossing) => {
        const spawner = (bridge.current?.trace(trace) as TraceContext | undefined) ?? trace
        return crossing === 'isolate' ? spawner.separate() : spawner.child()
      },
      survivesSeal: true,
    }),
)

/**
 * The trace to send to others from `context`. For the context of the code that runs now, it is the trace of the active
 * span.
 */
export function traceOf(context: LogicalContext): TraceContext | undefined {
  const known = context.get(traceContext)
  // Another unit's context, or one that was given a span on purpose, is unrelated to the span that is active here.
  if (bridge.current === undefined || known !== peek(traceContext)) return known
  return bridge.current.trace(known) as TraceContext | undefined
}

/** The same for a log line in the current unit, whose own trace is `known`. Never throws. */
export function activeTrace(known: TraceContext | undefined): TraceContext | undefined {
  if (bridge.current === undefined) return known
  try {
    return bridge.current.trace(known) as TraceContext | undefined
  } catch {
    // A log call must not fail because of its context.
    return known
  }
}

/** The flags with the sampled flag as in the decision. */
export function flagsFor(flags: number, sampling: Sampling): number {
  return sampling === 'accept' || sampling === 'debug' ? flags | sampledFlag : flags & ~sampledFlag
}

function samplingOf(flags: number): Sampling {
  return (flags & sampledFlag) === 0 ? 'deny' : 'accept'
}
