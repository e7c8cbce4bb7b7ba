import { current } from '../context/current.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { storage } from '../context/storage.ts'
import type { TimeBound } from '../context/unit.ts'
import { deadline } from './deadline.ts'

/**
 * The current context for a call to others: as `current()`, and its deadline is the earliest of those of the work that
 * makes the call, a `withTimeout` around it included. In a shield only a `withTimeout` inside it counts.
 */
export function callContext(): LogicalContext {
  const context = current()
  const bound = currentBound()
  if (bound === undefined) return context
  const given = context.get(deadline)
  const ours = bound.shielded ? undefined : given
  const end = bound.deadline === undefined || (ours !== undefined && ours <= bound.deadline) ? ours : bound.deadline
  if (end === given) return context
  return end === undefined ? context.without(deadline) : context.with(deadline, end)
}

/** What bounds the time of the current work. */
export function currentBound(): TimeBound | undefined {
  const cell = storage.getStore()
  return cell?.unit?.boundOf(cell)
}
