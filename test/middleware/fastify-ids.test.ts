import { FastifyOtelInstrumentation } from '@fastify/otel'
import * as api from '@opentelemetry/api'
import Fastify from 'fastify'
import { spawn } from 'logical-context'
import { logicalContext } from 'logical-context/middleware/fastify'
import { w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { requestId } from 'logical-context/variables'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { setUpSdk } from '../bridges/opentelemetry/sdk.ts'

function printed(): unknown[] {
  const lines: unknown[] = []
  const error = vi.spyOn(console, 'error').mockImplementation((...args) => void lines.push(args))
  onTestFinished(() => error.mockRestore())
  return lines
}

describe("the app's generator of request ids", () => {
  it('creates the ids of requests without a usable id; a later one is used too', async () => {
    const app = Fastify({ genReqId: ({ url }) => `own-${url?.length}` })
    await app.register(logicalContext)
    await app.register(async (child) => {
      child.setGenReqId(() => 'of-the-child')
      child.get('/child', async (request) => [request.id, requestId.get()])
    })
    app.get('/', async (request) => [request.id, requestId.get()])
    onTestFinished(() => app.close())

    const answers = await Promise.all(
      [{}, { 'x-request-id': 'r-1' }].map(async (headers) => (await app.inject({ url: '/', headers })).json()),
    )

    expect(answers).toEqual([
      ['own-1', 'own-1'],
      ['r-1', 'r-1'],
    ])
    expect((await app.inject('/child')).json()).toEqual(['of-the-child', 'of-the-child'])
  })

  it('gets the request in generate, and its failure is not counted as the peer’s', async () => {
    const lines = printed()
    const generate = vi.fn((_request: { url?: string }) => 'not usable')
    const app = Fastify()
    await app.register(logicalContext, { propagators: [w3cTraceContext(), xRequestId({ generate })] })
    app.get('/', async (request) => request.id)
    onTestFinished(() => app.close())

    const { body } = await app.inject('/')
    await app.inject('/')

    expect(body).toMatch(/^[\da-f-]{36}$/)
    expect(generate.mock.calls[0]?.[0]).toMatchObject({ url: '/' })
    expect(app.requestScopes.peers.counters).toEqual({ refused: 0, malformed: 0, duplicate: 0, truncated: 0 })
    expect(lines).toHaveLength(1)
  })
})

describe('an app without a logger', () => {
  it('prints a failed task with its ids to stderr', async () => {
    const lines = printed()
    const app = Fastify()
    await app.register(logicalContext)
    app.get('/', async () => {
      const fail = () => {
        throw new Error('no')
      }
      spawn(fail, { policy: 'isolate' })
    })

    await app.inject({ url: '/', headers: { 'x-request-id': 'r-1' } })
    await app.close()

    expect(lines).toEqual([
      [
        "logical-context: task 'fail' failed",
        { err: expect.any(Error), request_id: 'r-1', task_name: 'fail', task_id: expect.any(Number) },
      ],
    ])
  })
})

describe('names', () => {
  it('never contain the URL of a request that an earlier hook answers', async () => {
    const names: string[] = []
    const app = Fastify()
    app.addHook('onRequest', async (request, reply) => {
      names.push(request.requestScope.name)
      await reply.code(401).send('no')
      names.push(request.requestScope.name)
    })
    await app.register(logicalContext)
    app.get('/', async () => 'never')
    onTestFinished(() => app.close())

    await app.inject('/?token=secret')

    expect(names).toEqual(['GET', 'GET /'])
  })

  it('of handlers are kept for @fastify/otel', async () => {
    const { spans } = setUpSdk()
    const instrumentation = new FastifyOtelInstrumentation()
    instrumentation.setTracerProvider(api.trace.getTracerProvider())
    const app = Fastify()
    onTestFinished(() => app.close())
    await app.register(instrumentation.plugin())
    await app.register(logicalContext)
    app.get('/', async function listOrders() {
      return []
    })

    await app.inject('/')
    await app.inject('/')
    await app.close()

    expect(spans().filter(({ name }) => name.includes('listOrders'))).toHaveLength(2)
    expect(spans().filter(({ name }) => name.includes('tracked'))).toEqual([])
  })
})
