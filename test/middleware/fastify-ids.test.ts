import { FastifyOtelInstrumentation } from '@fastify/otel'
import * as api from '@opentelemetry/api'
import Fastify from 'fastify'
import { bind, ContextVar, runInScope, spawn, TaskGroup } from 'logical-context'
import { Messages } from 'logical-context/messages/message'
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

  it('may return numbers, as a counter does', async () => {
    let count = 0
    const lines = printed()
    const app = Fastify({ genReqId: (() => ++count) as never })
    await app.register(logicalContext)
    app.get('/', async (request) => [request.id, requestId.get()])
    onTestFinished(() => app.close())

    const reply = await app.inject('/')

    expect(reply.json()).toEqual(['1', '1'])
    expect(lines).toEqual([])
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

describe('an app without a logger, with late and unfinished work', () => {
  it('prints late reads and writes with their line to stderr', async () => {
    const lines = printed()
    vi.stubEnv('NODE_ENV', '')
    onTestFinished(() => void vi.unstubAllEnvs())
    const note = new ContextVar<string>('note')
    const late: (() => void)[] = []
    const app = Fastify()
    await app.register(logicalContext)
    app.get('/', async () => {
      late.push(
        bind(() => note.get()),
        bind(() => note.set('late')),
      )
    })
    await app.inject('/')
    await app.close()

    for (const use of late) use()

    expect(lines).toEqual([
      [expect.stringMatching(/^logical-context: late read of 'note' at .*fastify-ids\.test\.ts/), expect.anything()],
      [expect.stringMatching(/^logical-context: late write of 'note' at .*fastify-ids\.test\.ts/), expect.anything()],
    ])
  })

  it('prints tasks and requests that had not finished at the close, with their ids', async () => {
    const lines = printed()
    const app = Fastify()
    await app.register(logicalContext, { drainTimeoutMs: 20 })
    app.get('/', async () => {
      spawn(() => new Promise(() => {}), { name: 'stuck' })
      return 'ok'
    })

    await app.inject({ url: '/', headers: { 'x-request-id': 'r-1' } })
    await app.close()

    expect(lines).toEqual([
      [
        "logical-context: task 'stuck' had not finished when the server closed",
        expect.objectContaining({ task_name: 'stuck', task_id: expect.any(Number), request_id: 'r-1' }),
      ],
    ])
  })
})

describe('a failed task without an onError', () => {
  it('is printed with the ids of its request and its task', async () => {
    const lines = printed()
    const fail = () => {
      throw new Error('no')
    }
    const group = new TaskGroup()
    runInScope(
      () => {
        requestId.set('r-2')
        group.spawn(fail, { policy: 'isolate' })
        spawn(fail)
      },
      { group },
    )

    await group.drain()

    const line = /^logical-context: the task 'fail' \(id \d+, request r-2\) failed: Error: no/
    expect(lines).toEqual([[expect.stringMatching(line)], [expect.stringMatching(line)]])
  })

  it('is printed with them for a job of messages', async () => {
    const lines = printed()
    const messages = new Messages('jobs')
    const fields = { 'x-request-id': 'r-3' }

    await messages.process(
      { queue: 'jobs', fields },
      () => void spawn(() => Promise.reject(new Error('no')), { name: 'mail' }),
    )
    await messages.close()

    expect(lines).toEqual([[expect.stringMatching(/the task 'mail' \(id \d+, request r-3\) failed: Error: no/)]])
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

  it('and lengths of the functions of an app, its server, its logger and the raw messages are kept', async () => {
    const shapes = async (plugins: (typeof logicalContext)[]) => {
      const app = Fastify({
        logger: { level: 'silent' },
        genReqId: function newId() {
          return 'id'
        },
        childLoggerFactory: function newLogger(logger, bindings, options) {
          return logger.child(bindings, options ?? {})
        },
      })
      onTestFinished(() => app.close())
      for (const plugin of plugins) await app.register(plugin)
      const found: Record<string, string> = {}
      app.get('/', async ({ raw, log }, reply) => {
        const objects = { app, server: app.server, raw, response: reply.raw, log }
        for (const [name, object] of Object.entries(objects)) Object.assign(found, shapesOf(name, object))
      })
      await app.inject('/')
      return found
    }

    expect(await shapes([logicalContext])).toEqual(await shapes([]))
  })
})

/** The name and the length of each method. */
function shapesOf(name: string, object: object): Record<string, string> {
  const shapes: Record<string, string> = {}
  for (let holder = object; holder !== Object.prototype; holder = Object.getPrototypeOf(holder) as object) {
    for (const key of Object.getOwnPropertyNames(holder)) {
      // An accessor can warn, or need its own receiver.
      const method: unknown = Object.getOwnPropertyDescriptor(holder, key)?.value
      if (typeof method === 'function') shapes[`${name}.${key}`] ??= `${method.name} ${method.length}`
    }
  }
  return shapes
}
