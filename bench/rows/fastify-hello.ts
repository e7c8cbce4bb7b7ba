import type { ServerRow } from '../harness/row.ts'
import { ours } from '../harness/row.ts'
import * as ways from './fastify-contexts.ts'
import { helloServer } from './hello-server.ts'

export const fastifyHello: ServerRow = {
  kind: 'fastify',
  name: 'fastify-hello',
  title: 'Fastify: scope and request id alone',
  about: 'A hello world that reads the request id or the span from its context.',
  headers: {},
  sides: [
    { name: 'one-line als.run in onRequest', role: 'floor', serve: () => helloServer(ways.oneLineOfAls) },
    { name: ours, role: 'ours', serve: () => helloServer(ways.logicalContextAlone) },
    { name: 'bare', role: 'reference', serve: () => helloServer(ways.none) },
    { name: '@fastify/request-context', role: 'peer', serve: () => helloServer(ways.fastifyRequestContext) },
    { name: '@fastify/otel', role: 'peer', serve: () => helloServer(ways.fastifyOtel) },
    { name: 'nestjs-cls middleware', role: 'peer', serve: () => helloServer(ways.nestClsMiddleware) },
    { name: 'cls-rtracer', role: 'peer', serve: () => helloServer(ways.clsRtracer) },
    { name: 'OpenTelemetry context API', role: 'peer', serve: () => helloServer(ways.otelContextApi) },
  ],
  targets: [],
}
