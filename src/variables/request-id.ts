import { ContextVar } from '../context/context-var.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { processSingleton, requestIdSlot } from '../context/storage.ts'
import { newUuid } from './ids.ts'
import { TraceContext, traceContext } from './trace-context.ts'

/** The longest request id that is accepted from a peer. */
const maxLength = 128

/** The id of the request that the current work belongs to. It is kept in all tasks and after the seal. */
export const requestId: ContextVar<string> = processSingleton(
  'requestId',
  () => new ContextVar<string>('requestId', { onSpawn: 'keep' }),
)
requestIdSlot.variable = requestId

/**
 * A context with a new request id and the root of a new trace, for a unit without a request: a job, a command, a test.
 * With `runInScope(fn, { context: newIdentity() })` its log lines and its calls have one id.
 */
export function newIdentity(): LogicalContext {
  return LogicalContext.empty.with(requestId, newUuid()).with(traceContext, new TraceContext())
}

/** Whether a request id from a peer is usable: 1 to 128 characters of `A-Z a-z 0-9 . _ -`. */
export function isRequestId(text: unknown): text is string {
  if (typeof text !== 'string' || text.length === 0 || text.length > maxLength) return false
  for (let i = 0; i < text.length; i++) if (!isIdCharacter(text.charCodeAt(i))) return false
  return true
}

function isIdCharacter(code: number): boolean {
  if (code >= 0x61 && code <= 0x7a) return true // a-z
  if (code >= 0x41 && code <= 0x5a) return true // A-Z
  return (code >= 0x2d && code <= 0x39 && code !== 0x2f) || code === 0x5f // - . 0-9 _
}
