import type { IncomingMessage } from 'node:http'
import type { RequestScope } from '../tasks/request-scope.ts'

/** Where a raw request has its scope: it exists before Fastify's own request does. */
export const scopeKey: unique symbol = Symbol('logical-context.scope')

export interface ScopedMessage extends IncomingMessage {
  [scopeKey]?: RequestScope
}

/** The scope of Fastify's request, where there is one. A plugin may call with something else, as @fastify/websocket does. */
export function scopeOf(request: { readonly raw?: ScopedMessage } | undefined): RequestScope | undefined {
  return request?.raw?.[scopeKey]
}
