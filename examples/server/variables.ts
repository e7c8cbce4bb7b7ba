import { ContextVar } from 'logical-context'
import { contextFetch } from 'logical-context/clients/fetch'
import { xRequestId, w3cBaggage, w3cTraceContext } from 'logical-context/propagators'

/** Whose shop it is. Every task keeps it: even isolated work is done for one tenant. */
export const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
/** Who buys. A task sees it if its policy says so. */
export const user = new ContextVar<string>('user')

/** What the services tell each other: trace, request id, and these two values as W3C baggage. */
export const propagators = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { tenant, user }, others: 'drop' })]

/** `fetch` with the caller's context in its headers; the values go to this host and to no other. */
export const shopFetch = contextFetch.with({ propagators, values: ['127.0.0.1'] })
