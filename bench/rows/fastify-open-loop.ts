import { ours, type ServerRow } from '../harness/row.ts'
import * as ways from './fastify-contexts.ts'
import { helloServer } from './hello-server.ts'

export const fastifyOpenLoop: ServerRow = {
  kind: 'fastify',
  openLoop: true,
  name: 'fastify-open-loop',
  title: 'Fastify: at a fixed rate',
  about:
    'Requests are sent at half of the rate that the floor reaches, regardless of the replies. A response time starts ' +
    'when the request was due, so a pause of the server counts for all requests that were due meanwhile.',
  headers: {},
  sides: [
    { name: 'bare', role: 'floor', serve: () => helloServer(ways.none) },
    { name: ours, role: 'ours', serve: () => helloServer(ways.logicalContext()) },
    { name: '@fastify/request-context', role: 'peer', serve: () => helloServer(ways.fastifyRequestContext) },
    { name: 'cls-rtracer', role: 'peer', serve: () => helloServer(ways.clsRtracer) },
    { name: '@fastify/otel', role: 'peer', serve: () => helloServer(ways.fastifyOtel) },
  ],
  targets: [{ words: '99th percentile within 3 % of bare', figure: 'p99 ms', against: 'floor', atMost: 1.03 }],
}
