import { bridge } from '../context/bridge.ts'
import { ContextVar } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { processSingleton, storage } from '../context/storage.ts'
import { isPresent } from '../context/values.ts'
import { newSpanId, newTraceId } from './ids.ts'
import { Tracestate } from './tracestate.ts'

/** The caller has recorded the trace, or asks for it. W3C Trace Context level 2, 3.2.2.5.1 */
export const sampledFlag = 0x01
/** At least the right-most 7 bytes of the trace id are random. W3C Trace Context level 2, 3.2.2.5.2 */
export const randomFlag = 0x02
/** The others go out as zero. Trace Context level 2, 3.2.2.5.3 */
export const knownFlags = sampledFlag | randomFlag

/**
 * Whether the trace is recorded, in B3's words, which say more than the sampled flag: `defer` is "nobody has decided
 * yet", `debug` an `accept` that is stressed.
 */
export type Sampling = 'accept' | 'deny' | 'defer' | 'debug'

/** The identity of a span elsewhere. */
export interface SpanLink {
  /** 32 lower-case hex digits. */
  readonly traceId: string
  /** 16 lower-case hex digits. */
  readonly spanId: string
}

export interface TraceContextInit {
  /** 32 lower-case hex digits. Default: a new one, with the random flag set. */
  traceId?: string
  /** 16 lower-case hex digits. Default: a new one, made when it is first read. */
  spanId?: string
  /** The span above this one, here or at the caller's. */
  parentSpanId?: string | undefined
  /** The 8 trace flags. Default: none but the random flag of a new trace id. */
  flags?: number
  /** Sets the sampled flag too. Default: what the flags say; `defer` where there are none. */
  sampling?: Sampling | undefined
  /** Default: empty. */
  state?: Tracestate | undefined
  /** The span that caused this one without being its parent. */
  link?: SpanLink | undefined
}

/**
 * Where a unit stands in a trace: its own span and the one above. Immutable.
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

  /** Takes the values as they are: who has them from outside checks them first. */
  constructor(init: TraceContextInit = {}) {
    this.traceId = init.traceId ?? newTraceId()
    const flags = init.flags ?? (init.traceId === undefined ? randomFlag : 0)
    this.sampling = init.sampling ?? (init.flags === undefined ? 'defer' : samplingOf(flags))
    this.flags = isAccept(this.sampling) ? flags | sampledFlag : flags & ~sampledFlag
    this.parentSpanId = init.parentSpanId
    this.state = init.state ?? Tracestate.empty
    this.link = init.link
    this.#spanId = init.spanId
  }

  /** 16 lower-case hex digits. Many a task never shows its id, so it is made when it is first read. */
  get spanId(): string {
    return (this.#spanId ??= newSpanId())
  }

  get sampled(): boolean {
    return (this.flags & sampledFlag) !== 0
  }

  /** A span below this one, in the same trace. */
  child(): TraceContext {
    return new TraceContext({
      traceId: this.traceId,
      parentSpanId: this.spanId,
      flags: this.flags,
      sampling: this.sampling,
      state: this.state,
    })
  }

  /** The root of a new trace that links to this span. The caller's decision to sample does not go over. */
  restart(): TraceContext {
    return new TraceContext({ link: { traceId: this.traceId, spanId: this.spanId } })
  }

  /** The same for work of our own: what was decided not to be recorded stays so. */
  separate(): TraceContext {
    if (this.sampling !== 'deny') return this.restart()
    return new TraceContext({ link: { traceId: this.traceId, spanId: this.spanId }, sampling: 'deny' })
  }
}

/** Where the current unit stands in its trace. A spawned task gets a child span; an isolated one a new, linked trace. */
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
  if (bridge.current === undefined || known !== knownHere()) return known
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

/** Does not use `get`, which reports each late read. */
function knownHere(): TraceContext | undefined {
  const raw = storage.getStore()?.read(traceContext.index)
  return isPresent(raw) ? (raw as TraceContext) : undefined
}

function isAccept(sampling: Sampling): boolean {
  return sampling === 'accept' || sampling === 'debug'
}

function samplingOf(flags: number): Sampling {
  return (flags & sampledFlag) === 0 ? 'deny' : 'accept'
}
