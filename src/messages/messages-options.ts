import { aBoolean, aFunction, anything, type Checks, oneOf } from '../options.ts'
import type { Propagator, RefusalReason } from '../propagators/propagator.ts'
import type { LateUseOptions } from '../tasks/late-use.ts'
import type { OnTaskError } from '../tasks/task.ts'
import type { TaskLimits } from '../tasks/task-limits.ts'
import type { MessageInfo } from '../variables/message.ts'
import type { MessagePolicy } from './message-fields.ts'

/** A field of a message that was not read or not written. */
export interface MessageRefusal {
  reason: RefusalReason
  /** The field, or the field and its member, such as `baggage.tenant`. */
  field: string
  /** The name of the queue. */
  queue: string
}

/** How long an enqueue waits for the engine, in milliseconds, unless the program sets it. */
export const defaultEnqueueTimeoutMs = 10_000

/** Options of every message context. */
export interface MessagesOptions extends LateUseOptions {
  /** What travels. Default: `[w3cTraceContext(), w3cBaggage(), xRequestId()]`. */
  propagators?: readonly Propagator[]
  /** For messages without their own policy. Default: the policy of the unit that enqueues, else `inherit`. */
  policy?: MessagePolicy
  /** Whether the fields of received messages are used. False for a broker that others write to. Default: true. */
  trust?: boolean
  /** Limits for the tasks that jobs spawn. Default: none. */
  limits?: TaskLimits
  /** Called for each failed task that a job has spawned, if the task has no `onError`. Default: a line on stderr. */
  onError?: OnTaskError
  /**
   * Called for each failed attempt, with the job's context active, by engines that do not report failures themselves.
   * Default: a line on stderr.
   */
  onFailure?: (error: unknown, job: MessageInfo) => void
  /** Called for each field that was not read or not written. Default: it is counted only. */
  onRefusal?: (refusal: MessageRefusal) => void
}

/** The checks of `MessagesOptions`; an adapter adds those of its own options. */
export const messagesChecks: Checks = {
  // `compilePropagators`, `checkedPolicy` and the group check these.
  propagators: anything,
  policy: anything,
  limits: anything,
  trust: aBoolean,
  onError: aFunction,
  onFailure: aFunction,
  onRefusal: aFunction,
  lateWrites: oneOf('throw', 'report'),
  onLateUse: aFunction,
}
