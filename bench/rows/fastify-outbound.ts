import type { FastifyInstance } from 'fastify'
import { ours, type ServerRow, type Target } from '../harness/row.ts'
import * as ways from './fastify-contexts.ts'
import { tracedHeaders } from './fastify-full.ts'
import { helloServer } from './hello-server.ts'

/** Makes the call. Returns what the backend says about the trace that it received. */
type Call = () => Promise<string>

const bareInScope = `${ours}, bare call`
const bareInAls = 'one-line als.run, bare call'

const atLeast: Target = {
  words: 'at least 0.95 of the requests/s of bare',
  figure: 'requests/s',
  against: 'floor',
  atLeast: 0.95,
}
const about =
  'Each request brings a trace. Its handler calls a server on loopback, which must receive that trace, and awaits ' +
  'the body of the reply. Two sides make a bare call in a context: it sends no trace.'

export const fastifyUndici: ServerRow = {
  kind: 'fastify',
  name: 'fastify-undici',
  title: 'Fastify: with one outbound call by undici',
  about,
  headers: tracedHeaders,
  sides: [
    { name: 'bare', role: 'floor', serve: (backend) => server(ways.none, undici(backend), 'no trace') },
    { name: ours, role: 'ours', serve: (backend) => server(traced, oursOfUndici(backend), 'a trace') },
    { name: bareInScope, role: 'reference', serve: (backend) => server(traced, undici(backend), 'no trace') },
    { name: bareInAls, role: 'reference', serve: (backend) => server(ways.oneLineOfAls, undici(backend), 'no trace') },
    { name: '@fastify/otel and undici instrumentation', role: 'peer', serve: (backend) => otel(backend, undici) },
  ],
  targets: [atLeast],
}

export const fastifyFetch: ServerRow = {
  kind: 'fastify',
  name: 'fastify-fetch',
  title: 'Fastify: with one outbound call by fetch',
  about,
  headers: tracedHeaders,
  sides: [
    { name: 'bare', role: 'floor', serve: (backend) => server(ways.none, plainFetch(backend), 'no trace') },
    { name: ours, role: 'ours', serve: (backend) => server(traced, oursOfFetch(backend), 'a trace') },
    { name: bareInScope, role: 'reference', serve: (backend) => server(traced, plainFetch(backend), 'no trace') },
    {
      name: bareInAls,
      role: 'reference',
      serve: (backend) => server(ways.oneLineOfAls, plainFetch(backend), 'no trace'),
    },
    { name: '@fastify/otel and undici instrumentation', role: 'peer', serve: (backend) => otel(backend, plainFetch) },
  ],
  targets: [atLeast],
}

const traced: ways.ContextWay = async (app) => {
  const { xRequestId, w3cTraceContext } = await import('logical-context/propagators')
  return ways.logicalContext({ propagators: [w3cTraceContext(), xRequestId()], replyIdHeader: false })(app)
}

async function server(way: ways.ContextWay, making: Promise<Call>, expected: string): Promise<FastifyInstance> {
  const call = await making
  return helloServer(way, {}, () => async () => (await call()) === expected)
}

async function undici(backend: string): Promise<Call> {
  const { Agent, request } = await import('undici')
  const dispatcher = new Agent()
  return async () => (await request(backend, { dispatcher })).body.text()
}

async function oursOfUndici(backend: string): Promise<Call> {
  const { Agent, request } = await import('undici')
  const { undiciInterceptor } = await import('logical-context/clients/undici')
  const dispatcher = new Agent().compose(undiciInterceptor())
  return async () => (await request(backend, { dispatcher })).body.text()
}

async function plainFetch(backend: string): Promise<Call> {
  return async () => (await fetch(backend)).text()
}

async function oursOfFetch(backend: string): Promise<Call> {
  const { contextFetch } = await import('logical-context/clients/fetch')
  return async () => (await contextFetch(backend)).text()
}

async function otel(backend: string, client: (backend: string) => Promise<Call>): Promise<FastifyInstance> {
  const { UndiciInstrumentation } = await import('@opentelemetry/instrumentation-undici')
  const way: ways.ContextWay = async (app) => {
    const read = await ways.fastifyOtel(app)
    new UndiciInstrumentation().enable()
    return read
  }
  return server(way, client(backend), 'a trace')
}
