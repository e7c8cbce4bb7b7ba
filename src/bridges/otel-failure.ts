import type { Span } from '@opentelemetry/api'
import type { OpenTelemetryApi } from './otel-api.ts'

/** Records an exception, of now or of an earlier time in milliseconds, and an error status with `error.type`. */
export function recordFailure(api: OpenTelemetryApi, span: Span, error: unknown, at?: number): void {
  const type = typeOfError(error)
  const message = textOf(error, 'message') ?? String(error)
  span.recordException(error instanceof Error ? error : { name: type, message }, at)
  span.setAttribute('error.type', type)
  span.setStatus({ code: api.SpanStatusCode.ERROR, message })
}

/** A code, which says more than the class, or else the class. */
export function typeOfError(error: unknown): string {
  return textOf(error, 'code') ?? textOf(error, 'name') ?? '_OTHER'
}

function textOf(error: unknown, key: string): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const value: unknown = Reflect.get(error, key)
  return typeof value === 'string' && value !== '' ? value : undefined
}
