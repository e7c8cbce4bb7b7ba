import { ReportedKeys } from '../callbacks.ts'
import { requestId } from '../variables/request-id.ts'
import type { Exchange } from './exchange.ts'
import type { Log } from './log.ts'

/** Warns once for each handler and hook that did not end in time. */
export function unsettledReport(log: Log, limitMs: number): (unsettled: Pick<Exchange, 'scope' | 'waitsFor'>) => void {
  const reported = new ReportedKeys()
  return ({ scope, waitsFor }) => {
    const what = waitsFor.join(', ') || 'work that was started with scope.run()'
    const key = `${what} of ${scope.name}`
    if (!reported.add(key)) return
    log.warn(
      { request_id: scope.context.get(requestId), unit: scope.name, waits_for: waitsFor },
      `${key} had not ended ${limitMs} ms after the response closed: the values of the request were dropped. ` +
        'Settle its promise or call its callback, or raise settleTimeoutMs.',
    )
  }
}
