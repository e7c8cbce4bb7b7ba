import { aBoolean, aFunction, anAmount, anyOf, type Checks } from '../options.ts'
import { aFieldName } from '../variables/header-text.ts'
import { inboundChecks, type InboundOptions } from './inbound-options.ts'
import type { CloseReport } from './server-drain.ts'

/** Options of every middleware for a server of HTTP. */
export interface ServerOptions extends InboundOptions {
  /** The header of the reply that has the request id, or false for none. Default: `x-request-id`. */
  replyIdHeader?: string | false
  /**
   * Whether the reply has the header `Server-Timing: trace;desc="00-…"` with the trace of the request, which scripts in a
   * browser and other clients can read. Metrics that the program puts into this header stay. Default: false.
   */
  serverTiming?: boolean
  /** How long a close waits for requests and tasks before it aborts their signals, in milliseconds. Default: 10,000. */
  drainTimeoutMs?: number
  /**
   * How long a request's values are kept for handlers and hooks that have not ended after the response closed, in
   * milliseconds. Default: 10,000.
   */
  settleTimeoutMs?: number
  /** Called at the end of a close with what finished and what was left, after the report was logged. Default: none. */
  onDrained?: (report: CloseReport) => unknown
}

/** The defaults of all servers. */
export const serverDefaults = {
  replyIdHeader: 'x-request-id',
  drainTimeoutMs: 10_000,
  settleTimeoutMs: 10_000,
} as const

/** The checks of `ServerOptions`. */
export const serverChecks: Checks = {
  ...inboundChecks,
  replyIdHeader: anyOf('the name of a header or false', (value) => value === false || aFieldName.accepts(value)),
  serverTiming: aBoolean,
  drainTimeoutMs: anAmount,
  settleTimeoutMs: anAmount,
  onDrained: aFunction,
}
