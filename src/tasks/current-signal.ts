import { currentCanceller } from './narrowed-cell.ts'

/**
 * The signal of the current work, without a request at hand: of the request or task that the code is part of, or,
 * inside a combinator, of the narrowest one around it. Undefined outside any unit.
 *
 * Pass it on to what can be stopped: `fetch(url, { signal: currentSignal() })`.
 */
export function currentSignal(): AbortSignal | undefined {
  return currentCanceller()?.signal
}

/**
 * When the current work's signal aborts at the latest, in milliseconds since the epoch: the earliest of the request's
 * deadline and the limits around the code. Undefined where there is none.
 */
export function currentDeadline(): number | undefined {
  return currentCanceller()?.deadline
}
