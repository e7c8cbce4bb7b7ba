import { ContextVar } from 'logical-context'
import { childContext } from 'logical-context/messages/child-process'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { message, requestId, traceContext } from 'logical-context/variables'

/** What both processes declare, and what a child sees. */
export const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
export const user = new ContextVar<string>('user')
const propagators = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { tenant, user } })]
export const children = childContext({ propagators, onFailure() {} })

export interface Seen {
  readonly tenant?: string
  readonly user?: string
  readonly requestId?: string
  readonly traceId?: string
  readonly parent?: string
  readonly policy?: string
}

/** As JSON, so that what is not set is absent. */
export function seen(): string {
  const { traceId, parentSpanId: parent } = traceContext.get() ?? {}
  const { policy } = message.get() ?? {}
  return JSON.stringify({ tenant: tenant.get(), user: user.get(), requestId: requestId.get(), traceId, parent, policy })
}
