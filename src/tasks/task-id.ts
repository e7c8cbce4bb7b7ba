import { once } from '../context/storage.ts'

/** Counted in one place for all copies of the package. */
const ids = once('taskIds', () => ({ last: 0 }))

/** Counts up from 1 in this process. */
export function nextTaskId(): number {
  return ++ids.last
}
