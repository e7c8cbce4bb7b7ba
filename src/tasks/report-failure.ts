import { show } from '../options.ts'
import type { OnTaskError, Task } from './task.ts'
import { isThenable } from './thenable.ts'

/** Tells `onError` of a failure, and then calls `end`. */
export function reportFailure(onError: OnTaskError, error: unknown, task: Task, end: () => void): void {
  const endTwiceFailed = (failure: unknown) => {
    const [second, first] = [show(failure), show(error)]
    // The last resort: neither failure may be lost.
    console.error(`logical-context: onError has failed for the task '${task.name}': ${second} while told of ${first}`)
    end()
  }
  try {
    const handled = onError(error, task)
    if (isThenable(handled)) Promise.resolve(handled).then(end, endTwiceFailed)
    else end()
  } catch (failure) {
    endTwiceFailed(failure)
  }
}
