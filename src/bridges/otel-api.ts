import type * as api from '@opentelemetry/api'

/** All that `import * as api from '@opentelemetry/api'` gives. */
export type OpenTelemetryApi = typeof api

/** The API makes this key by `Symbol.for`, with its major version. */
const globalsKey: symbol = Symbol.for('opentelemetry.js.api.1')

/** What is registered in this process, with whichever copy of the API; undefined for what is not. */
export function registered(name: 'context' | 'diag' | 'metrics' | 'trace'): unknown {
  return (globalThis as unknown as Record<symbol, Record<string, unknown> | undefined>)[globalsKey]?.[name]
}
