import { LogicalContext } from '../context/logical-context.ts'
import { newRequestId, requestId } from './request-id.ts'
import { TraceContext, traceContext } from './trace-context.ts'

/**
 * A context with a new request id and the root of a new trace, for a unit that no request opens: a job, a command, a
 * test. `runInScope(fn, { context: newIdentity() })` has its log lines and its calls bear one id.
 */
export function newIdentity(): LogicalContext {
  return LogicalContext.empty.with(requestId, newRequestId()).with(traceContext, new TraceContext())
}
