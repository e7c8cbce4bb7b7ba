import { ours, type ServerRow } from '../harness/row.ts'
import * as ways from './fastify-contexts.ts'
import { tracedHeaders } from './fastify-full.ts'
import { helloServer } from './hello-server.ts'

export const fastifySpans: ServerRow = {
  kind: 'fastify',
  name: 'fastify-spans',
  title: 'Fastify: with a span a request',
  about:
    'Each request continues its incoming trace with a span of OpenTelemetry’s SDK, which drops the span. The ' +
    'bridge starts our span. Together with @fastify/otel, the bridge uses the existing span.',
  headers: tracedHeaders,
  sides: [
    { name: '@fastify/otel', role: 'floor', serve: () => helloServer(ways.fastifyOtel) },
    { name: ours, role: 'ours', serve: () => helloServer(bridged({ requestSpans: true })) },
    { name: `@fastify/otel and ${ours}`, role: 'reference', serve: () => helloServer(besideFastifyOtel) },
    { name: 'bare', role: 'reference', serve: () => helloServer(ways.none) },
  ],
  targets: [{ words: 'at most the CPU of @fastify/otel', figure: 'CPU µs', against: 'floor', atMost: 1 }],
}

function bridged(options: { requestSpans: boolean }): ways.ContextWay {
  return async (app) => {
    const { openTelemetry } = await import('logical-context/bridges/opentelemetry')
    const bridge = openTelemetry({ api: await import('@opentelemetry/api'), ...options })
    const { api } = await ways.openTelemetrySdk([bridge.spanProcessor])
    await ways.logicalContext()(app)
    return () => api.trace.getActiveSpan()
  }
}

const besideFastifyOtel: ways.ContextWay = async (app) => {
  const read = await bridged({ requestSpans: false })(app)
  const { FastifyOtelInstrumentation } = await import('@fastify/otel')
  await app.register(new FastifyOtelInstrumentation().plugin())
  return read
}
