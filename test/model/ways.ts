import type { Live } from './flow.ts'
import type { Act } from './program.ts'

/** Lets a flow live as the code of a unit goes on without being spawned. */
export const goOn: Record<Extract<Act, { does: 'go on' }>['way'], (live: Live) => void> = {
  await: (live) => void liveAfterAwait(live),
  then: (live) => void Promise.resolve().then(() => live()),
  nextTick: (live) => process.nextTick(() => void live()),
  microtask: (live) => queueMicrotask(() => void live()),
  immediate: (live) => setImmediate(() => void live()),
  timer: (live) => setTimeout(() => void live(), 0),
}

async function liveAfterAwait(live: Live): Promise<void> {
  await Promise.resolve()
  await live()
}
