import { processSingleton } from './storage.ts'

/**
 * Connects the units of the process with a tracer. The types of scopes, tasks, traces and baggage belong to rooms above
 * this one, so they are opaque here.
 */
export interface Bridge {
  /** Called with a `RequestScope` when it opens, in the contexts of the code that opens it. */
  opened(scope: object): UnitObservation | undefined
  /** Called with a `Task` when it is spawned, in the contexts of its spawner. */
  spawned(task: object): UnitObservation | undefined
  /**
   * Called where a message is enqueued, with the `TraceContext` of the sender, or with a new one if the job is isolated.
   * Returns the place in the trace that the attempts of the job are below.
   */
  sent?(attributes: UnitAttributes, isolated: boolean, trace: unknown): unknown
  /**
   * Called for an outbound call with the `TraceContext` to send. Returns the one of a span of this call, the same one if
   * it is the span of this call, or undefined if no span is recorded.
   */
  called?(trace: unknown, host: string): unknown
  /** Called with the unit's `TraceContext`; returns the one of the code that runs now: a span may be active there. */
  trace(known: unknown): unknown
  /** The same for `Baggage`. Omitted if the tracer's baggage is separate from ours. */
  baggage?(own: unknown): unknown
  /** Whether tracing is suppressed for the code that runs now, for example for an exporter's own call. */
  suppressed?(): boolean
}

/** The attributes of a message, by the names of OpenTelemetry's conventions. */
export type UnitAttributes = Readonly<Record<string, string | number | undefined>>

/** Wraps the work of one unit. */
export interface UnitObservation {
  /** Runs in the unit's cell: the task's work, or a function that `run` calls from outside the scope. */
  around<R>(work: () => R): R
  /** Called with the context that a framework's own instrumentation has for the scope; it may not be the active one. */
  standsIn?(context: unknown): void
  /** Replaces the attributes of the scope's message. */
  setAttributes?(attributes: UnitAttributes): void
  /** Called when work of the scope fails. */
  failed?(error: unknown): void
  /** Called if the task has not ended by the limit of its group's drain. */
  abandoned?(error: unknown): void
  /** Called once, before the values are dropped. A withdrawn task never began. */
  ended(outcome: 'done' | 'failed' | 'cancelled' | 'withdrawn', error: unknown): void
}

/** The one bridge of the process, for all copies of the package. */
export const bridge: { current: Bridge | undefined } = processSingleton('bridge', () => ({ current: undefined }))

/** Whether a trace may be written here: it is not while a tracer suppresses tracing. */
export function isTracing(): boolean {
  return bridge.current?.suppressed?.() !== true
}
