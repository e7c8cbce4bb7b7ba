import type { Figure } from '../harness/row.ts'

export interface Section {
  /** The name of its chart. */
  readonly name: string
  readonly title: string
  readonly rows: readonly string[]
  /** What its chart shows; none for curves, of which each has a chart. */
  readonly figure?: Figure
}

/** The order of the page. */
export const sections: readonly Section[] = [
  {
    name: 'context',
    title: 'Values and scopes',
    rows: ['get', 'set', 'scope', 'fork-5', 'fork-10', 'fork-50', 'awaits'],
    figure: 'ns',
  },
  { name: 'tasks', title: 'Tasks', rows: ['spawn-inherit', 'spawn-isolate'], figure: 'ns' },
  {
    name: 'propagation',
    title: 'Propagation',
    rows: ['traceparent', 'tracestate', 'baggage-3', 'baggage-10', 'b3', 'all-formats', 'trace-id', 'span-id'],
    figure: 'ns',
  },
  { name: 'logging', title: 'Logging', rows: ['log-line'], figure: 'ns' },
  {
    name: 'fastify',
    title: 'Fastify',
    rows: ['fastify-hello', 'fastify-full', 'fastify-logging', 'fastify-spawn', 'fastify-undici', 'fastify-fetch'],
    figure: 'CPU µs',
  },
  {
    name: 'opentelemetry',
    title: 'Beside OpenTelemetry: the bridge',
    rows: ['fastify-spans', 'otel-task', 'otel-scope'],
  },
  {
    name: 'memory',
    title: 'Memory',
    rows: ['memory-in-flight', 'memory-idle', 'memory-tasks-10000', 'memory-tasks-100000'],
    figure: 'bytes',
  },
  { name: 'growth', title: 'Growth', rows: ['growth-variables', 'growth-chain', 'growth-baggage', 'growth-pending'] },
]
