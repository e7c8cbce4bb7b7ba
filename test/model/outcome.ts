import { subscribe } from 'node:diagnostics_channel'
import type { LateEvent } from 'logical-context/channels'

let lateWrites = 0
subscribe('logical-context:context:late', (event) => {
  if ((event as LateEvent).operation === 'write') lateWrites++
})

/** How many late writes there were so far, whether they have thrown or not. */
export function countLateWrites(): number {
  return lateWrites
}

/** The outcome of an act: its result, the code of the error that it throws, or that its late write was reported. */
export function outcomeOf(act: () => unknown): unknown {
  const before = lateWrites
  try {
    const result = act()
    return lateWrites === before ? result : 'reported'
  } catch (error) {
    return codeOf(error)
  } finally {
    // A step of a generator contains an act of the body, whose outcome is its own.
    lateWrites = before
  }
}

/** Errors of the package are outcomes; all others are mistakes of ours. */
export function codeOf(error: unknown): unknown {
  const { code } = error as { code?: string }
  if (code?.startsWith('LCTX_') !== true) throw error
  return code
}
