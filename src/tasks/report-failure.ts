import { isThenable } from '../callbacks.ts'
import { show } from '../options.ts'
import type { OnTaskError, Task } from './task.ts'
import { after } from './timer.ts'

/** How long the end of a task waits for the promise of an `onError`, in milliseconds. */
const maxReportMs = 10_000

/** Calls `onError` for a failure, and then `end`. */
export function reportFailure(onError: OnTaskError, error: unknown, task: Task, end: () => void): void {
  // The last resort: neither failure may be lost.
  const print = (problem: string) =>
    console.error(`logical-context: onError ${problem}, called for the task '${task.name}' with ${show(error)}`)
  let returned: unknown
  try {
    returned = onError(error, task)
    if (isThenable(returned)) {
      endWhenReported(Promise.resolve(returned), print, end)
      return
    }
  } catch (failure) {
    print(`failed: ${show(failure)}`)
  }
  end()
}

function endWhenReported(report: Promise<unknown>, print: (problem: string) => void, end: () => void): void {
  const stopWaiting = () => {
    print(`did not settle within ${maxReportMs} ms`)
    end()
  }
  const stop = after(maxReportMs, stopWaiting, { ref: false })
  const settle = () => {
    stop()
    end()
  }
  report.then(settle, (failure: unknown) => {
    print(`failed: ${show(failure)}`)
    settle()
  })
}
