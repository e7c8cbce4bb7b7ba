import type { ServerRow } from '../harness/row.ts'
import { ours } from '../harness/row.ts'
import * as ways from './fastify-contexts.ts'
import { bareWithLogging, withMixin, withOtel } from './fastify-logging.ts'
import { helloServer } from './hello-server.ts'
import { lastLine, logOf } from './log-of.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'

/** The headers of a request from another service. */
export const tracedHeaders = {
  traceparent: `00-${traceId}-b7ad6b7169203331-01`,
  tracestate: 'congo=t61rcWkgMzE',
  baggage: 'tenant=acme,region=eu-west-1,plan=gold',
  'x-request-id': '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
}

export const fastifyFull: ServerRow = {
  kind: 'fastify',
  name: 'fastify-full',
  title: 'Fastify: extraction, baggage, ids and log fields',
  about:
    'Each request brings traceparent, tracestate, three members of baggage and an id, and writes three log lines: two ' +
    'by Fastify, one by its handler with a logger that is not bound to the request. Ours has five context fields on ' +
    'each line, including the trace id and the tenant, and the reply has the id. @fastify/otel makes a span, and has ' +
    'the fields of the trace on the lines. The mixin has the request id.',
  headers: tracedHeaders,
  sides: [
    { name: 'bare', role: 'floor', serve: bareWithLogging },
    { name: ours, role: 'ours', serve: oursInFull },
    { name: 'als.run and mixin', role: 'peer', serve: withMixin },
    { name: '@fastify/otel and pino instrumentation', role: 'peer', serve: withOtel },
  ],
  targets: [],
}

async function oursInFull() {
  const { ContextVar } = await import('logical-context')
  const { contextLogger } = await import('logical-context/bridges/pino')
  const { xRequestId, w3cBaggage, w3cTraceContext } = await import('logical-context/propagators')
  const tenant = new ContextVar<string>('tenant')
  const log = contextLogger(await logOf(), { fields: { tenant } })
  const propagators = [w3cTraceContext(), w3cBaggage({ members: { tenant } }), xRequestId()]
  return helloServer(ways.logicalContext({ propagators, trust: 'loopback' }), { loggerInstance: log }, (app) => () => {
    app.log.info('reserved')
    return lastLine().includes(traceId) && lastLine().includes('"tenant":"acme"')
  })
}
