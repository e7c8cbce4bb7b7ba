import { messageEnd, type MessageEndEvent, type MessageEvent, messageStart } from '../tasks/lifecycle.ts'
import type { RequestScope } from '../tasks/request-scope.ts'

/** Runs a handler in the unit of its attempt, and publishes its begin and its end. */
export async function observedAttempt<R>(
  event: MessageEvent,
  handler: (scope: RequestScope) => R | PromiseLike<R>,
): Promise<R> {
  const { scope } = event
  const startedAt = performance.now()
  const end = (outcome: MessageEndEvent['outcome'], error: unknown) => {
    if (!messageEnd.hasSubscribers) return
    messageEnd.publish({ ...event, outcome, error, durationMs: performance.now() - startedAt })
  }
  if (messageStart.hasSubscribers) messageStart.publish(event)
  try {
    const result = await handler(scope)
    end('done', undefined)
    return result
  } catch (error) {
    end(scope.isCancellation(error) ? 'cancelled' : 'failed', error)
    throw error
  }
}
