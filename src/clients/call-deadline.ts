import { current } from '../context/current.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { TimeoutError } from '../errors.ts'
import type { CancelScope } from '../tasks/cancel-scope.ts'
import { isExpiry, maxTimerMs } from '../tasks/timer.ts'
import { currentCancelScope, currentDeadline } from '../tasks/unit.ts'
import { deadline } from '../variables/deadline.ts'

/**
 * The current context for an outbound call: as `current()`, except that its deadline is the earliest deadline of the
 * work that makes the call. That includes each `withTimeout` around the call. In a shield, only a `withTimeout` inside
 * the shield counts.
 */
export function callContext(): LogicalContext {
  const context = current()
  const bound = currentDeadline()
  const given = context.get(deadline)
  if (bound === undefined && given === undefined) return context
  const ours = currentCancelScope()?.shielded ? undefined : given
  const end = bound === undefined || (ours !== undefined && ours <= bound) ? ours : bound
  if (end === given) return context
  return end === undefined ? context.without(deadline) : context.with(deadline, end)
}

/**
 * Calls `abort` when the deadline of `context` has passed; before it returns, if the deadline has passed already. A
 * deadline of the caller's work ends with that work: then the next one around it counts, if there is one.
 * Returns a function that clears the timer, or undefined if there is no timer: without a deadline, and with a deadline
 * too far away for a timer. The cause of the error is the reason that aborts the caller's own work, if that work set
 * the deadline.
 */
export function atDeadline(
  context: LogicalContext,
  call: () => string,
  abort: (reason: TimeoutError) => void,
): (() => void) | undefined {
  let end = context.get(deadline)
  if (end === undefined) return undefined
  const startedAt = Date.now()
  const limits = callLimits()
  let limitMs = Math.max(0, Math.ceil(end - startedAt))
  let timer: NodeJS.Timeout | undefined
  const arm = () => {
    if (!(limitMs <= maxTimerMs)) return
    timer = setTimeout(onTimeout, startedAt + limitMs - Date.now())
    timer.unref()
  }
  const onTimeout = () => {
    const next = limits.next()
    if (next > (end as number)) {
      end = next
      limitMs = Math.ceil(next - startedAt)
      return arm()
    }
    abort(new TimeoutError(call(), limitMs, limits.stop(end as number)))
  }
  if (limitMs === 0) onTimeout()
  else arm()
  return timer === undefined ? undefined : () => clearTimeout(timer)
}

/** What limits the time of a call. Work can end before a call that it has made; its limit ends with it. */
export interface CallLimits {
  /** The earliest limit that is left; one in the past if work ended because of its limit, and infinity without a limit. */
  next(): number
  /** Aborts the work that must end at `end` or before, and returns the reason. */
  stop(end: number): unknown
}

/** The limits of the current work, and the variable `deadline` if it is earlier than that of the unit. */
export function callLimits(): CallLimits {
  const scopes: CancelScope[] = []
  for (let scope = currentCancelScope(); scope !== undefined; scope = scope.source) scopes.push(scope)
  const outermost = scopes.at(-1)
  const given = outermost?.shielded ? undefined : current().get(deadline)
  const own = given !== undefined && given < (outermost?.deadline ?? Infinity) ? given : Infinity
  const expired = () => scopes.find(({ reason }) => isExpiry(reason))
  return {
    next: () => scopes.reduce((next, scope) => Math.min(next, limitOf(scope)), expired() ? -Infinity : own),
    stop: (end) => expired()?.reason ?? scopes.find((scope) => limitOf(scope) <= end)?.expire(),
  }
}

/** The time of the limit that a scope itself has set; infinity without one, and after its end. */
function limitOf(scope: CancelScope): number {
  return scope.due?.target === scope && scope.lasting === scope ? scope.due.deadline : Infinity
}

/** A controller lives exactly as long as its signal; a timer outlives most calls. */
const controllers = new WeakMap<AbortSignal, AbortController>()
const timers = new FinalizationRegistry<() => void>((clear) => clear())

/** Combines the caller's signal and the deadline; `clear` clears the timer. */
export function withDeadline(
  context: LogicalContext,
  call: () => string,
  signal: AbortSignal | null | undefined,
): { signal: AbortSignal | null | undefined; clear?: (() => void) | undefined } {
  if (!context.has(deadline)) return { signal }
  const controller = new AbortController()
  const clear = atDeadline(context, call, abortWeakly(new WeakRef(controller)))
  const both = signal ? AbortSignal.any([signal, controller.signal]) : controller.signal
  controllers.set(both, controller)
  if (clear !== undefined) timers.register(both, clear)
  return { signal: both, clear }
}

function abortWeakly(controller: WeakRef<AbortController>): (reason: unknown) => void {
  return (reason) => controller.deref()?.abort(reason)
}
