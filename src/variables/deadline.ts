import { ContextVar } from '../context/context-var.ts'
import { processSingleton } from '../context/storage.ts'

/**
 * The time by which the current work must have ended, in milliseconds since the epoch, as `Date.now()` counts. A spawned
 * task does not receive it, because background work outlives the request.
 */
export const deadline: ContextVar<number> = processSingleton(
  'deadline',
  () => new ContextVar<number>('deadline', { onSpawn: 'drop' }),
)
