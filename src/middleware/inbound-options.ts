import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import { aFunction, anyOf, type Checks, oneOf } from '../options.ts'
import type { Propagator } from '../propagators/propagator.ts'
import type { LateUseOptions } from '../tasks/late-use.ts'
import { aPolicy, type Policy } from '../tasks/policy.ts'
import type { OnTaskError } from '../tasks/task.ts'
import type { TaskLimits } from '../tasks/task-limits.ts'
import { type Refusal, type Trust, trustCheck } from './trust.ts'

/** A message that opens a unit. Node's `IncomingMessage` has this shape. */
export interface InboundMessage {
  readonly headers: IncomingHttpHeaders
  readonly socket: Socket
  readonly method?: string | undefined
  readonly url?: string | undefined
}

/** A message without a socket, such as an event of AWS Lambda. Its peer has no address. */
export interface SocketlessMessage {
  /** `Headers`, or an object with names in any case. */
  readonly headers?: Headers | Readonly<Record<string, string | readonly string[] | undefined>> | null | undefined
  readonly socket?: undefined
}

/** Options of every middleware. */
export interface InboundOptions extends LateUseOptions {
  /** The policy of tasks without a policy of their own, of their group or of their route. Default: `inherit`. */
  policy?: Policy
  /** What is read from headers. Default: `[w3cTraceContext(), w3cBaggage(), xRequestId(), requestTimeout()]`. */
  propagators?: readonly Propagator[]
  /** Which peers may set values. Default: none; traces are continued for loopback and private addresses. */
  trust?: Trust
  /** How many tasks may exist. Default: 1,000 running, 10,000 queued and 100 per request. */
  limits?: TaskLimits
  /** Called for each failed task without its own `onError`. Default: logs an error. */
  onError?: OnTaskError
  /** Called for the first refusal of each kind from each network of peers. Default: logs a warning. */
  onRefusal?: (refusal: Refusal) => void
}

/** The checks of `InboundOptions`; an adapter adds those of its own options. */
export const inboundChecks: Checks = {
  policy: aPolicy,
  propagators: anyOf('an array of propagators', Array.isArray),
  trust: trustCheck,
  limits: anyOf('an object of limits', (value) => typeof value === 'object' && value !== null && !Array.isArray(value)),
  onError: aFunction,
  onRefusal: aFunction,
  lateWrites: oneOf('throw', 'report'),
  onLateUse: aFunction,
}
