import { current } from '../context/current.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { currentCancelScope, currentDeadline } from '../tasks/cancel-scope.ts'
import { deadline } from '../variables/deadline.ts'

/**
 * The current context for a call to others: as `current()`, and its deadline is the earliest of those of the work that
 * makes the call, a `withTimeout` around it included. In a shield only a `withTimeout` inside it counts.
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
