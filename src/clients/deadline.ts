import type { LogicalContext } from '../context/logical-context.ts'
import { TimeoutError } from '../errors.ts'
import { currentCancelScope } from '../tasks/cancel-scope.ts'
import { deadline } from '../variables/deadline.ts'

/** The longest time that a timer of Node can take. */
const maxTimerMs = 2 ** 31 - 1

/**
 * Calls `abort` when the deadline of `context` is over, before it returns if it is already; gives a function that lets
 * go of it. Without a deadline, or with one too far off for a timer, there is nothing to call and to let go of. The
 * cause of the error is what stops the caller's own work then, if that has set the deadline.
 */
export function atDeadline(
  context: LogicalContext,
  call: () => string,
  abort: (reason: TimeoutError) => void,
): (() => void) | undefined {
  const end = context.get(deadline)
  if (end === undefined) return undefined
  const remainingMs = Math.max(0, Math.ceil(end - Date.now()))
  const stopCaller = callerStop(end)
  const over = () => abort(new TimeoutError(call(), remainingMs, stopCaller?.()))
  if (remainingMs === 0) over()
  if (remainingMs === 0 || !(remainingMs <= maxTimerMs)) return undefined
  const timer = setTimeout(over, remainingMs)
  timer.unref()
  return () => clearTimeout(timer)
}

/** Stops what a call that ends at `end` is made by, and gives the reason, if that has to end then too. */
export function callerStop(end: number): (() => unknown) | undefined {
  const bound = currentCancelScope()
  return bound?.deadline !== undefined && bound.deadline <= end ? () => bound.expire() : undefined
}

/** The controller of a signal lives as long as the signal, and no longer: a timer outlives most calls. */
const controllers = new WeakMap<AbortSignal, AbortController>()
const timers = new FinalizationRegistry<() => void>((forget) => forget())

/** The caller's signal and the deadline in one; `forget` lets go of the timer. */
export function withDeadline(
  context: LogicalContext,
  call: () => string,
  signal: AbortSignal | null | undefined,
): { signal: AbortSignal | null | undefined; forget?: (() => void) | undefined } {
  if (!context.has(deadline)) return { signal }
  const controller = new AbortController()
  const forget = atDeadline(context, call, abortWeakly(new WeakRef(controller)))
  const both = signal ? AbortSignal.any([signal, controller.signal]) : controller.signal
  controllers.set(both, controller)
  if (forget !== undefined) timers.register(both, forget)
  return { signal: both, forget }
}

function abortWeakly(controller: WeakRef<AbortController>): (reason: unknown) => void {
  return (reason) => controller.deref()?.abort(reason)
}
