export interface Section {
  /** The name of its chart. */
  readonly name: string
  readonly title: string
  readonly rows: readonly string[]
  /** Whether the section has a chart of bars. A row of curves has its own chart. */
  readonly charted?: true
}

/** The order of the page. */
export const sections: readonly Section[] = [
  {
    name: 'context',
    title: 'Values and scopes',
    rows: ['get', 'set', 'scope', 'fork-5', 'fork-10', 'fork-50', 'awaits'],
    charted: true,
  },
  { name: 'tasks', title: 'Tasks', rows: ['spawn-inherit', 'spawn-isolate'], charted: true },
  {
    name: 'propagation',
    title: 'Propagation',
    rows: ['traceparent', 'tracestate', 'baggage-3', 'baggage-10', 'b3', 'all-formats', 'trace-id', 'span-id'],
    charted: true,
  },
  { name: 'logging', title: 'Logging', rows: ['log-line'], charted: true },
  {
    name: 'fastify',
    title: 'Fastify',
    rows: [
      'import-index',
      'import-plugin',
      'next-tick',
      'request-import',
      'request-hello',
      'request-full',
      'request-parts',
      'fastify-hello',
      'fastify-full',
      'fastify-logging',
      'fastify-spawn',
      'fastify-undici',
      'fastify-fetch',
      'fastify-open-loop',
    ],
    charted: true,
  },
  {
    name: 'servers',
    title: 'Other servers',
    rows: ['server-node-http', 'server-express', 'server-koa', 'server-hono', 'server-nestjs'],
    charted: true,
  },
  {
    name: 'opentelemetry',
    title: 'Together with OpenTelemetry: the bridge',
    rows: ['fastify-spans', 'otel-task', 'otel-scope'],
  },
  {
    name: 'jobs',
    title: 'Jobs',
    rows: ['job-context', 'job-pg-boss', 'job-bullmq'],
  },
  {
    name: 'memory',
    title: 'Memory',
    rows: ['memory-in-flight', 'memory-idle', 'memory-tasks-10000', 'memory-tasks-100000'],
    charted: true,
  },
  {
    name: 'growth',
    title: 'Growth',
    rows: [
      'growth-variables',
      'growth-chain',
      'growth-baggage',
      'growth-pending',
      'growth-in-flight',
      'growth-connections',
    ],
  },
]
