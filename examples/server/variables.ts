import { ContextVar } from 'logical-context'
import { contextFetch } from 'logical-context/clients/fetch'
import { xRequestId, w3cBaggage, w3cTraceContext } from 'logical-context/propagators'

/** The owner of the shop. Every task keeps it, because isolated work also belongs to a tenant. */
export const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
/** The buyer. The policy of a task decides whether the task sees it. */
export const user = new ContextVar<string>('user')

/** The services send each other the trace, the request id, and these two values as W3C baggage. */
export const propagators = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { tenant, user }, others: 'drop' })]

/** `fetch` with the caller's context in its headers. Values go to this host only. */
export const shopFetch = contextFetch.with({ propagators, values: ['127.0.0.1'] })
