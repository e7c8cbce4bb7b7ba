import { AsyncLocalStorage } from 'node:async_hooks'
import { createRequire } from 'node:module'
import type { ServerRow } from '../harness/row.ts'
import { ours } from '../harness/row.ts'
import * as ways from './fastify-contexts.ts'
import { helloServer } from './hello-server.ts'
import { lastLine, lines, logOf } from './log-of.ts'

export const fastifyLogging: ServerRow = {
  kind: 'fastify',
  name: 'fastify-logging',
  title: 'Fastify: with logging',
  about:
    'Each request writes three lines: two by Fastify, one by its handler with a logger that is not bound to the ' +
    'request. All sides except the first have the request id or the span on the handler’s line.',
  headers: {},
  sides: [
    { name: 'bare', role: 'floor', serve: bareWithLogging },
    { name: ours, role: 'ours', serve: withContextLogger },
    { name: 'als.run and mixin', role: 'peer', serve: withMixin },
    { name: '@fastify/request-context and mixin', role: 'peer', serve: withRequestContextMixin },
    { name: '@fastify/otel and pino instrumentation', role: 'peer', serve: withOtel },
  ],
  targets: [
    { words: 'at most the CPU of als.run and mixin', figure: 'CPU µs', against: 'als.run and mixin', atMost: 1 },
  ],
}

/** A server whose handler writes a log line, which must have `key`. */
function server(way: ways.ContextWay, options: Parameters<typeof helloServer>[1], key: string) {
  return helloServer(way, options, (app) => () => {
    app.log.info('reserved')
    return lastLine().includes(`"${key}`) && lastLine().includes('reserved')
  })
}

export async function bareWithLogging() {
  return server(ways.none, { loggerInstance: await logOf() }, '')
}

async function withContextLogger() {
  const { contextLogger } = await import('logical-context/bridges/pino')
  return server(ways.logicalContextAlone, { loggerInstance: contextLogger(await logOf()) }, 'request_id":')
}

export async function withMixin() {
  const storage = new AsyncLocalStorage<{ request_id: string }>()
  const way: ways.ContextWay = async (app) => {
    app.addHook('onRequest', (request, _reply, done) => storage.run({ request_id: request.id }, done))
    return () => storage.getStore()
  }
  const log = await logOf({ mixin: () => ({ ...storage.getStore() }) })
  return server(way, { loggerInstance: log }, 'request_id":')
}

async function withRequestContextMixin() {
  const { requestContext } = await import('@fastify/request-context')
  const log = await logOf({ mixin: () => ({ request_id: requestContext.get('id' as never) as unknown }) })
  return server(ways.fastifyRequestContext, { loggerInstance: log }, 'request_id":')
}

export async function withOtel() {
  const { registerInstrumentations } = await import('@opentelemetry/instrumentation')
  const { PinoInstrumentation } = await import('@opentelemetry/instrumentation-pino')
  registerInstrumentations({ instrumentations: [new PinoInstrumentation({ disableLogSending: true })] })
  // A module that is loaded by `require` after this is instrumented.
  const pino = createRequire(import.meta.url)('pino') as typeof import('pino').default
  return server(ways.fastifyOtel, { loggerInstance: pino({}, lines) }, 'trace_id":')
}
