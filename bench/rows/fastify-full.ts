import type { ServerRow } from '../harness/row.ts'
import { ours } from '../harness/row.ts'
import * as ways from './fastify-contexts.ts'
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
    'Each request brings traceparent, tracestate, three members of baggage and an id. Its handler writes one log ' +
    'line. Ours has five context fields on the line, including the trace id and the tenant, and the reply has the ' +
    'id. @fastify/otel makes a span, has no fields on the line, and reads the baggage.',
  headers: tracedHeaders,
  sides: [
    { name: 'bare', role: 'floor', serve: () => server(ways.none) },
    { name: ours, role: 'ours', serve: oursInFull },
    { name: '@fastify/otel', role: 'peer', serve: () => server(ways.fastifyOtel) },
    { name: 'one-line als.run in onRequest', role: 'reference', serve: () => server(ways.oneLineOfAls) },
  ],
  targets: [
    {
      words: 'adds at most a third of the CPU that @fastify/otel adds',
      figure: 'CPU µs',
      against: '@fastify/otel',
      above: 'bare',
      atMost: 1 / 3,
    },
  ],
}

async function server(way: ways.ContextWay) {
  const log = await logOf()
  return helloServer(way, { loggerInstance: log, disableRequestLogging: true }, (app) => () => {
    app.log.info('reserved')
    return lastLine().includes('reserved')
  })
}

async function oursInFull() {
  const { ContextVar } = await import('logical-context')
  const { contextLogger } = await import('logical-context/bridges/pino')
  const { xRequestId, w3cBaggage, w3cTraceContext } = await import('logical-context/propagators')
  const tenant = new ContextVar<string>('tenant')
  const log = contextLogger(await logOf(), { fields: { tenant } })
  const propagators = [w3cTraceContext(), w3cBaggage({ members: { tenant } }), xRequestId()]
  return helloServer(
    ways.logicalContext({ propagators, trust: 'loopback' }),
    { loggerInstance: log, disableRequestLogging: true },
    (app) => () => {
      app.log.info('reserved')
      return lastLine().includes(traceId) && lastLine().includes('"tenant":"acme"')
    },
  )
}
