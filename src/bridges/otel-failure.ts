import type { Span } from '@opentelemetry/api'
import type { OpenTelemetryApi } from './otel-api.ts'

/** Records an exception, and an error status with `error.type`: a code that says more than the class, or the class. */
export function recordFailure(api: OpenTelemetryApi, span: Span, error: unknown): void {
  const type = textOf(error, 'code') ?? textOf(error, 'name') ?? '_OTHER'
  const message = textOf(error, 'message') ?? String(error)
  span.recordException(error instanceof Error ? error : { name: type, message })
  span.setAttribute('error.type', type)
  span.setStatus({ code: api.SpanStatusCode.ERROR, message })
}

function textOf(error: unknown, key: string): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const value: unknown = Reflect.get(error, key)
  return typeof value === 'string' && value !== '' ? value : undefined
}
