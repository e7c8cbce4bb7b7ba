import { ContextVar } from '../context/context-var.ts'
import { processSingleton } from '../context/storage.ts'
import { newUuid } from './uuid.ts'

/** The longest request id that is taken from outside. */
const maxLength = 128

/** The id of the request that the current work is for, in all tasks and after the seal too. */
export const requestId: ContextVar<string> = processSingleton(
  'requestId',
  () => new ContextVar<string>('requestId', { onSpawn: 'keep' }),
)

/** A UUID of version 4. */
export function newRequestId(): string {
  return newUuid()
}

/** Whether a peer's request id may be used as it is: 1 to 128 characters of `A-Z a-z 0-9 . _ -`. */
export function isRequestId(text: unknown): boolean {
  if (typeof text !== 'string' || text.length === 0 || text.length > maxLength) return false
  for (let i = 0; i < text.length; i++) if (!isIdCharacter(text.charCodeAt(i))) return false
  return true
}

function isIdCharacter(code: number): boolean {
  if (code >= 0x61 && code <= 0x7a) return true // a-z
  if (code >= 0x41 && code <= 0x5a) return true // A-Z
  return (code >= 0x2d && code <= 0x39 && code !== 0x2f) || code === 0x5f // - . 0-9 _
}
