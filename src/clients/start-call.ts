import { captureSnapshot } from '../context/storage.ts'
import { callEnd, callStart } from '../tasks/lifecycle.ts'

/** Publishes the end of a call, with the status of its response or with its error. A second call does nothing. */
export type EndCall = (status: number | undefined, error: unknown) => void

/**
 * Publishes the start of a call, if there is a listener; its end too has the context of the caller. `name` returns the
 * method and the URL without its query.
 */
export function startCall(client: string, name: () => string): EndCall | undefined {
  if (!callStart.hasSubscribers && !callEnd.hasSubscribers) return undefined
  const call = { client, name: name() }
  callStart.publish({ call })
  const snapshot = captureSnapshot()
  let isOver = false
  return (status, error) => {
    if (isOver) return
    isOver = true
    snapshot.runInAsyncScope(() => callEnd.publish({ call, status, error }))
  }
}
