import Fastify, { type FastifyBaseLogger } from 'fastify'
import { current, spawn, TaskGroup } from 'logical-context'
import { contextLogger, pinoMixin } from 'logical-context/bridges/pino'
import logicalContext from 'logical-context/middleware/fastify'
import { type Logger, pino } from 'pino'
import { canaries, declared, type Exit, knowingAll, plain, sensitive, setAll } from './canaries.ts'

const fields = { declared }

/** Both ways to make a logger, and its lines. */
const loggers: Record<string, () => { log: Logger; lines: string[] }> = {
  contextLogger() {
    const lines: string[] = []
    const log = contextLogger(pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }), { fields })
    return { log, lines }
  },
  pinoMixin() {
    const lines: string[] = []
    const mixin = pinoMixin({ fields })
    return { log: pino({ level: 'trace', mixin }, { write: (line: string) => void lines.push(line) }), lines }
  },
}

/** What is logged in a unit. */
const calls: Record<string, (log: Logger) => unknown> = {
  'a line': (log) => log.info('hello'),
  'a child': (log) => log.child({ part: 'orders' }).warn('hello'),
  'an error': (log) => log.error(new Error('failed', { cause: current() }), 'failed'),
  'the objects of the library': (log) =>
    knowingAll((scope) => {
      const group = new TaskGroup()
      const task = group.spawn(() => {}, { policy: 'share' })
      log.info({ scope, task, group, context: current(), variables: [declared, plain, sensitive] }, 'objects')
      log.info(scope)
      log.info(task)
    }),
  'a task that fails': (log) =>
    spawn(() => Promise.reject(new Error('failed')), { onError: (err, task) => log.error({ err, task }) })
      .result()
      .catch(() => {}),
}

export const logExits: Exit[] = Object.entries(loggers).flatMap(([kind, open]) => [
  ...Object.entries(calls).map(([name, call]) => ({
    name: `the log, by ${kind}: ${name}`,
    may: ['declared'] as const,
    async run() {
      const { log, lines } = open()
      await knowingAll(() => call(log))
      return lines
    },
  })),
  {
    name: `the log of Fastify, by ${kind}`,
    may: ['declared'] as const,
    async run() {
      const { log, lines } = open()
      await serveOnce(log)
      return lines
    },
  },
])

/** A server's life with all that Fastify and the plugin log: requests, failures, late use, and a close that is cut off. */
async function serveOnce(log: FastifyBaseLogger): Promise<void> {
  const app = Fastify({ loggerInstance: log })
  await app.register(logicalContext, { drainTimeoutMs: 10, lateWrites: 'report' })
  app.addHook('onRequest', async () => setAll())
  app.get('/', async (request) => {
    request.log.info({ req: request, scope: request.requestScope, context: current() }, 'handling')
    spawn(() => Promise.reject(new Error('failed')), { name: 'fails' })
    spawn(() => new Promise(() => {}), { name: 'stays' })
    setTimeout(() => [plain.get(), declared.get(), plain.set('late')], 5)
    return 'ok'
  })
  app.get('/fails', async () => Promise.reject(new Error('failed')))
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  for (const path of ['/', '/fails', '/nowhere']) {
    // No peer is trusted: values of a stranger are refused, and the refusal is logged.
    const baggage = `declared=${encodeURIComponent(canaries.sensitive)}`
    await (await fetch(address + path, { headers: { baggage, traceparent: canaries.plain.slice(0, 8) } })).text()
  }
  await new Promise((resolve) => setTimeout(resolve, 20))
  await app.close()
}
