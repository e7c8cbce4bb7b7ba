import { ContextVar, LogicalContext, type RequestScope, runInScope, TaskGroup } from 'logical-context'
import { type Propagator, xRequestId, w3cBaggage, w3cTraceContext } from 'logical-context/propagators'
import { deadline, requestId as requestIdVariable, TraceContext, traceContext } from 'logical-context/variables'

export const tenant = new ContextVar<string>('tenant')
export const user = new ContextVar<string>('user')

/** The propagators of these tests. */
export const propagators: readonly Propagator[] = [
  w3cTraceContext(),
  w3cBaggage({ members: { tenant, user } }),
  xRequestId(),
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

/** Runs `fn` as a request with a deadline in its header: the plugin sets it for the unit and for its outbound calls. */
export function asRequestUntil<R>(end: number, fn: (scope: RequestScope) => R): R {
  return runInScope(
    (scope) => {
      deadline.set(end)
      return fn(scope)
    },
    { deadline: end, group: new TaskGroup() },
  )
}

export function traceparentOf(trace: TraceContext): string {
  return `00-${trace.traceId}-${trace.spanId}-03`
}
