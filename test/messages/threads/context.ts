import { ContextVar } from 'logical-context'
import { threadContext } from 'logical-context/messages/worker-threads'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { requestId, traceContext } from 'logical-context/variables'

/** What both sides declare, and what a message sees. */
export const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
export const user = new ContextVar<string>('user')
const propagators = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { tenant, user } })]
export const threads = threadContext({ propagators, onFailure() {} })

export interface Seen {
  readonly data: unknown
  readonly tenant: string | undefined
  readonly user: string | undefined
  readonly requestId: string | undefined
  readonly traceId: string | undefined
}

export function seen(data: unknown): Seen {
  const { traceId } = traceContext.get() ?? {}
  return { data, tenant: tenant.get(), user: user.get(), requestId: requestId.get(), traceId }
}
