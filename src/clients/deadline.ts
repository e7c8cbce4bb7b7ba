import type { LogicalContext } from '../context/logical-context.ts'
import { TimeoutError } from '../errors.ts'
import { deadline } from '../variables/deadline.ts'

/** The longest time that a Node timer can take. */
const maxTimerMs = 2 ** 31 - 1

/**
 * Calls `abort` when the deadline of `context` is over, at once if it already is; gives a function that lets go of
 * both. Without a deadline, or with one too far off for a timer, nothing is called.
 */
export function atDeadline(context: LogicalContext, call: string, abort: (reason: TimeoutError) => void): () => void {
  const end = context.get(deadline)
  const remainingMs = end === undefined ? Number.NaN : Math.max(0, Math.ceil(end - Date.now()))
  if (!(remainingMs <= maxTimerMs)) return nothing
  const over = () => abort(new TimeoutError(call, remainingMs))
  if (remainingMs === 0) {
    over()
    return nothing
  }
  const timer = setTimeout(over, remainingMs)
  timer.unref()
  return () => clearTimeout(timer)
}

/** The caller's signal and the deadline in one; `forget` lets go of the timer. */
export function withDeadline(
  context: LogicalContext,
  call: string,
  signal: AbortSignal | null | undefined,
): { signal: AbortSignal | null | undefined; forget: () => void } {
  if (!context.has(deadline)) return { signal, forget: nothing }
  const controller = new AbortController()
  const forget = atDeadline(context, call, (reason) => controller.abort(reason))
  if (signal === undefined || signal === null) return { signal: controller.signal, forget }
  return { signal: AbortSignal.any([signal, controller.signal]), forget }
}

function nothing(): void {}
