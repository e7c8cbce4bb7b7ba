import type { FastifyReply, FastifyRequest } from 'fastify'
import type { RequestScope } from '../tasks/request-scope.ts'

/** Tells a tracer's bridge what it is that the scope is open for, by the names of OpenTelemetry's HTTP conventions. */
export function setAttributes(scope: RequestScope, request: FastifyRequest, { raw: response }: FastifyReply): void {
  const attributes = {
    'http.request.method': request.method,
    'http.route': request.routeOptions.url,
    'url.path': request.url.split('?', 1)[0],
    'url.scheme': request.protocol,
    'network.protocol.version': request.raw.httpVersion,
    'user_agent.original': request.headers['user-agent'],
  }
  scope.observation?.setAttributes?.(attributes)
  // Of @fastify/otel, which starts the request's span, and one for this very hook, after the scope was opened.
  const { opentelemetry } = request as { opentelemetry?: () => { context?: unknown } | undefined }
  const context = opentelemetry?.call(request)?.context
  if (context !== undefined && context !== null) scope.observation?.standsIn?.(context)
  response.once('close', () => {
    if (!response.headersSent) return
    scope.observation?.setAttributes?.({ ...attributes, 'http.response.status_code': response.statusCode })
  })
}
