import { FastifyOtelInstrumentation } from '@fastify/otel'
import * as api from '@opentelemetry/api'
import Fastify from 'fastify'
import { spawn } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { traceContext } from 'logical-context/variables'
import { describe, expect, it, onTestFinished } from 'vitest'
import { setUpSdk, tree } from './sdk.ts'

describe('openTelemetry with @fastify/otel', () => {
  it('takes its span for the request, and it is active between the hooks', async () => {
    const { span, spans } = setUpSdk()
    const instrumentation = new FastifyOtelInstrumentation()
    instrumentation.setTracerProvider(api.trace.getTracerProvider())
    const app = Fastify()
    onTestFinished(() => app.close())
    await app.register(instrumentation.plugin())
    await app.register(logicalContext)
    const seen: unknown[] = []
    app.addHook('preHandler', async () => seen.push(traceContext.get()?.spanId))
    app.get('/', async () => {
      seen.push(traceContext.get()?.spanId)
      await spawn(() => {}, { name: 'task' }).result()
      return 'ok'
    })

    await app.inject('/')
    await app.close()

    const request = span('request').spanContext().spanId
    expect(seen).toEqual([request, request])
    expect(tree(spans())['task']?.parent).toMatch(/^handler/)
  })
})
