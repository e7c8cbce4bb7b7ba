import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { createRequire } from 'node:module'
import type { Logger } from 'pino'
import { type MicroRow, ours, type Work } from '../harness/row.ts'

const fields = {
  request_id: '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
  trace_id: '0af7651916cd43dd8448eb211c80319c',
  span_id: 'b7ad6b7169203331',
  trace_flags: '01',
  tenant: 'acme',
}
/** The number of lines of a request, for sides with a new logger for each request. */
const linesARequest = 10

export const logLine: MicroRow = {
  kind: 'micro',
  name: 'log-line',
  title: 'A log line with 5 context fields',
  about: `pino 10 writes a line with the ids of request, trace and span, the trace's flags and a tenant. Sides with a child for each request make one child for ${linesARequest} lines.`,
  sides: [
    {
      name: 'static child logger',
      role: 'floor',
      async setup() {
        const out = new Lines()
        const { pino } = await import('pino')
        const child = pino({}, out).child(fields)
        return logs(out, () => child.info('reserved'))
      },
    },
    { name: ours, role: 'ours', setup: () => withContextLogger(Number.POSITIVE_INFINITY) },
    {
      name: `${ours}, no child`,
      role: 'reference',
      setup: () => withContextLogger(Number.POSITIVE_INFINITY, (logger) => logger),
    },
    {
      name: 'static fields, no child',
      role: 'reference',
      async setup() {
        const out = new Lines()
        const { pino } = await import('pino')
        const log = pino({ base: fields }, out)
        return logs(out, () => log.info('reserved'))
      },
    },
    {
      name: `${ours}, a value set every ${linesARequest} lines`,
      role: 'reference',
      setup: () => withContextLogger(linesARequest),
    },
    {
      name: `${ours}, pinoMixin`,
      role: 'reference',
      async setup() {
        const out = new Lines()
        const { pino } = await import('pino')
        const { pinoMixin } = await import('logical-context/bridges/pino')
        const { tenant, within } = await request()
        const log = pino({ mixin: pinoMixin({ fields: { tenant } }) }, out)
        return logs(out, () => log.info('reserved'), within)
      },
    },
    {
      name: 'mixin',
      role: 'peer',
      async setup() {
        const out = new Lines()
        const { pino } = await import('pino')
        const storage = new AsyncLocalStorage<typeof fields>()
        const log = pino({ mixin: () => ({ ...storage.getStore() }) }, out)
        return logs(
          out,
          () => log.info('reserved'),
          (loop) => storage.run(fields, loop),
        )
      },
    },
    {
      name: 'child a request',
      role: 'peer',
      async setup() {
        const out = new Lines()
        const { pino } = await import('pino')
        const log = pino({}, out)
        let [child, line] = [log, 0]
        return logs(out, () => {
          if (line++ % linesARequest === 0) child = log.child(fields)
          child.info('reserved')
        })
      },
    },
    {
      name: 'OpenTelemetry pino instrumentation',
      role: 'peer',
      async setup() {
        const out = new Lines()
        const { context, trace } = await import('@opentelemetry/api')
        const { AsyncLocalStorageContextManager } = await import('@opentelemetry/context-async-hooks')
        const { registerInstrumentations } = await import('@opentelemetry/instrumentation')
        const { PinoInstrumentation } = await import('@opentelemetry/instrumentation-pino')
        context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
        registerInstrumentations({ instrumentations: [new PinoInstrumentation({ disableLogSending: true })] })
        // A module that is loaded by `require` after this is instrumented.
        const pino = createRequire(import.meta.url)('pino') as typeof import('pino').default
        const log = pino({}, out).child({ request_id: fields.request_id, tenant: fields.tenant })
        const span = { traceId: fields.trace_id, spanId: fields.span_id, traceFlags: 1 }
        const active = trace.setSpanContext(context.active(), span)
        return logs(
          out,
          () => log.info('reserved'),
          (loop) => context.with(active, loop),
        )
      },
    },
  ],
  targets: [],
}

/** Keeps the last line. */
class Lines {
  last = ''
  write(line: string): void {
    this.last = line
  }
}

function logs(out: Lines, op: () => void, within: <R>(loop: () => R) => R = (loop) => loop()): Work {
  return {
    op,
    within,
    check() {
      within(op)
      const { level, msg, ...rest } = JSON.parse(out.last) as Record<string, unknown>
      assert.deepEqual([level, msg], [30, 'reserved'])
      for (const [key, value] of Object.entries(fields)) assert.equal(rest[key], value, `${key} of ${out.last}`)
    },
  }
}

/** Uses a child logger, as frameworks do for each request: pino's first logger is slower than its children. */
async function withContextLogger(
  linesAValue: number,
  loggerOf: (logger: Logger) => Logger = (logger) => logger.child({}),
): Promise<Work> {
  const out = new Lines()
  const { pino } = await import('pino')
  const { contextLogger } = await import('logical-context/bridges/pino')
  const { tenant, within } = await request()
  const log = loggerOf(contextLogger(pino({}, out), { fields: { tenant } }))
  let line = 0
  const op = () => {
    if (line++ % linesAValue === 0) tenant.set(fields.tenant)
    log.info('reserved')
  }
  return logs(out, op, within)
}

async function request() {
  const { ContextVar, LogicalContext, runInScope } = await import('logical-context')
  const { requestId, TraceContext, traceContext } = await import('logical-context/variables')
  const tenant = new ContextVar<string>('tenant')
  const { trace_id: traceId, span_id: spanId } = fields
  const context = LogicalContext.empty
    .with(requestId, fields.request_id)
    .with(traceContext, new TraceContext({ traceId, spanId, flags: 1 }))
    .with(tenant, fields.tenant)
  return { tenant, within: <R>(loop: () => R): R => runInScope(loop, { context }) }
}
