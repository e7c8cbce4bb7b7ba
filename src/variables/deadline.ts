import { ContextVar } from '../context/context-var.ts'
import { processSingleton } from '../context/storage.ts'

/**
 * When the current work must have ended, in milliseconds since the epoch, as `Date.now()` counts. It does not cross a
 * spawn: background work outlives the request.
 */
export const deadline: ContextVar<number> = processSingleton(
  'deadline',
  () => new ContextVar<number>('deadline', { onSpawn: 'drop' }),
)
