import type { IncomingMessage } from 'node:http'
import type { Link } from '../tasks/linked-list.ts'
import type { RequestScope } from '../tasks/request-scope.ts'

/** Where a raw request has its scope: it exists before Fastify's own request does. */
export const scopeKey: unique symbol = Symbol('logical-context.scope')

/** Where it has its place among the requests in flight, from our `onRequest` on. */
export const linkKey: unique symbol = Symbol('logical-context.link')

export interface ScopedMessage extends IncomingMessage {
  [scopeKey]?: RequestScope
  [linkKey]?: Link<RequestScope>
}

/** The scope of Fastify's request, where there is one. A plugin may call with something else, as @fastify/websocket does. */
export function scopeOf(request: { readonly raw?: ScopedMessage } | undefined): RequestScope | undefined {
  return request?.raw?.[scopeKey]
}
