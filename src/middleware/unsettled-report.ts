import { requestId } from '../variables/request-id.ts'
import type { Exchange } from './exchange.ts'
import type { Log } from './log.ts'

/** How many different warnings are logged. */
const maxReports = 1000

/** Warns once for each handler and hook that did not end in time. */
export function unsettledReport(log: Log, limitMs: number): (exchange: Exchange) => void {
  const reported = new Set<string>()
  return ({ scope, waitsFor }) => {
    const what = waitsFor.join(', ') || 'work that was started with scope.run()'
    const key = `${what} of ${scope.name}`
    if (reported.has(key) || reported.size >= maxReports) return
    reported.add(key)
    log.warn(
      { request_id: scope.context.get(requestId), unit: scope.name, waits_for: waitsFor },
      `${key} had not ended ${limitMs} ms after the response closed: the values of the request were dropped. ` +
        'Settle its promise or call its callback, or raise settleTimeoutMs.',
    )
  }
}
