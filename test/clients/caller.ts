import { ContextVar, LogicalContext, runInScope } from 'logical-context'
import { type Propagator, requestId, w3cBaggage, w3cTraceContext } from 'logical-context/propagators'
import { requestId as requestIdVariable, TraceContext, traceContext } from 'logical-context/variables'

export const tenant = new ContextVar<string>('tenant')
export const user = new ContextVar<string>('user')

/** What the calls of these tests write. */
export const propagators: readonly Propagator[] = [
  w3cTraceContext(),
  w3cBaggage({ members: { tenant, user } }),
  requestId(),
]

/** Runs `fn` as a unit of its own: a trace, the request id `request-of-ann`, the tenant `acme` and the user `ann`. */
export function asCaller<R>(fn: (trace: TraceContext) => R, name = 'ann'): R {
  const trace = new TraceContext()
  const context = LogicalContext.empty
    .with(traceContext, trace)
    .with(requestIdVariable, `request-of-${name}`)
    .with(tenant, 'acme')
    .with(user, name)
  return runInScope(() => fn(trace), { context })
}

export function traceparentOf(trace: TraceContext): string {
  return `00-${trace.traceId}-${trace.spanId}-02`
}
