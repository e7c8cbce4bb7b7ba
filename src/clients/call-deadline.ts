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
  const scope = scopeUntil(end)
  let limitMs = Math.max(0, Math.ceil(end - startedAt))
  let timer: NodeJS.Timeout | undefined
  const arm = () => {
    if (!(limitMs <= maxTimerMs)) return
    timer = setTimeout(onTimeout, startedAt + limitMs - Date.now())
    timer.unref()
  }
  const onTimeout = () => {
    const limiting = scope?.lasting
    // The work may have ended because the deadline had passed. Then its call ends too.
    if (scope !== undefined && !isExpiry(limiting?.reason)) {
      const due = limiting?.deadline
      if (due === undefined) return
      if (due > (end as number)) {
        end = due
        limitMs = Math.ceil(due - startedAt)
        return arm()
      }
    }
    abort(new TimeoutError(call(), limitMs, limiting?.expire()))
  }
  if (limitMs === 0) onTimeout()
  else arm()
  return timer === undefined ? undefined : () => clearTimeout(timer)
}

/** Aborts the work that makes a call ending at `end` and returns the reason, if that work must end then too. */
export function callerStop(end: number): (() => unknown) | undefined {
  const scope = scopeUntil(end)
  return scope && (() => scope.lasting?.expire())
}

/** The cancel scope of the current work, if that work must end at `end` or before. */
function scopeUntil(end: number): CancelScope | undefined {
  const scope = currentCancelScope()
  return scope?.deadline !== undefined && scope.deadline <= end ? scope : undefined
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
