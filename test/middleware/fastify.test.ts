import { once } from 'node:events'
import { Agent, get, type IncomingMessage, request as httpRequest } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { Readable } from 'node:stream'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply } from 'fastify'
import {
  bind,
  ContextVar,
  current,
  type DrainReport,
  type LateUse,
  type Policy,
  type RequestScope,
  run,
  spawn,
  type Task,
} from 'logical-context'
import logicalContext, { type LogicalContextOptions } from 'logical-context/middleware/fastify'
import { requestTimeout, type Propagator, w3cTraceContext } from 'logical-context/propagators'
import { requestId, traceContext } from 'logical-context/variables'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'undici'

const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
const user = new ContextVar<string>('user')

const apps: FastifyInstance[] = []
afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close()))
})

async function open(options: LogicalContextOptions = {}): Promise<FastifyInstance> {
  const app = Fastify()
  apps.push(app)
  await app.register(logicalContext, options)
  return app
}

function rawOf(reply: FastifyReply): FastifyReply['raw'] {
  return reply.hijack().raw
}

async function listen(app: FastifyInstance): Promise<number> {
  await app.listen({ port: 0, host: '127.0.0.1' })
  return (app.server.address() as AddressInfo).port
}

async function fetchJson(port: number, path: string, headers: Record<string, string> = {}): Promise<unknown> {
  return (await fetch(`http://127.0.0.1:${port}${path}`, { headers })).json()
}

describe('logicalContext', () => {
  it('keeps the values of overlapping requests apart, on one keep-alive connection and on many', async () => {
    const app = await open()
    app.get<{ Params: { name: string } }>('/:name', async (request) => {
      const before = user.get()
      user.set(request.params.name)
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 5))
      return { before, after: user.get() }
    })
    const port = await listen(app)
    const names = Array.from({ length: 60 }, (_, index) => `user-${index}`)

    const answers = await Promise.all(names.map((name) => fetchJson(port, `/${name}`)))

    expect(answers).toEqual(names.map((after) => ({ after })))
  })

  it('starts each request of a keep-alive connection with nothing', async () => {
    const app = await open()
    app.get<{ Params: { name: string } }>('/:name', async (request) => {
      const before = user.get() ?? 'nothing'
      user.set(request.params.name)
      return before
    })
    const port = await listen(app)
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const ask = (path: string) =>
      new Promise<string>((resolve, reject) => {
        get({ port, path, agent }, (response) => {
          let text = ''
          response.on('data', (chunk) => (text += chunk)).on('end', () => resolve(text))
        }).on('error', reject)
      })

    const answers = [await ask('/a'), await ask('/b'), await ask('/c')]
    agent.destroy()

    expect(answers).toEqual(['nothing', 'nothing', 'nothing'])
  })

  it("keeps pipelined requests' hooks and events with their own request", async () => {
    const app = await open()
    const wrong: string[] = []
    const seen: string[] = []
    app.addHook('onRequest', async (request, reply) => {
      const { url } = request
      user.set(url)
      const look = (place: string) => {
        seen.push(place)
        if (user.get() !== url) wrong.push(`${place} of ${url}: ${user.get()}`)
      }
      reply.raw.on('finish', () => look('finish')).on('close', () => look('close'))
    })
    app.addHook('onResponse', async (request) => {
      seen.push('onResponse')
      if (user.get() !== request.url) wrong.push(`onResponse of ${request.url}: ${user.get()}`)
    })
    app.get('/*', async (request) => {
      await new Promise((resolve) => setTimeout(resolve, 10 - Number(request.url.slice(1))))
      return request.url
    })
    const socket = connect(await listen(app), '127.0.0.1')
    const paths = Array.from({ length: 10 }, (_, index) => `/${index}`)

    socket.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`).join(''))
    await expect.poll(() => seen.length).toBe(30)
    socket.destroy()

    expect(wrong).toEqual([])
  })

  it('calls the callbacks of a pipelined raw response in its own unit', async () => {
    const app = await open()
    const written = Promise.withResolvers<void>()
    const called: unknown[] = []
    app.addHook('onRequest', async ({ url }) => user.set(url))
    app.get('/first', async () => {
      await written.promise
      return 'first'
    })
    app.get('/second', (_request, reply) => {
      reply.raw.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => called.push(user.get()))
      reply.raw.write('part', () => called.push(user.get()))
      reply.raw.end('last')
      written.resolve()
    })
    const socket = connect(await listen(app), '127.0.0.1')

    socket.write('GET /first HTTP/1.1\r\nhost: x\r\n\r\nGET /second HTTP/1.1\r\nhost: x\r\n\r\n')

    await expect.poll(() => called).toEqual(['/second', '/second'])
    socket.destroy()
  })

  it('opens a unit of its own for a request inside a request', async () => {
    const app = await open()
    app.get('/inner', async () => ({ user: user.get() ?? null, id: requestId.get() }))
    app.get('/outer', async () => {
      user.set('ann')
      const inner = (await app.inject('/inner')).json() as { id: string }
      return { inner, user: user.get(), same: inner.id === requestId.get() }
    })

    const outer = (await app.inject('/outer')).json()

    expect(outer).toMatchObject({ inner: { user: null }, user: 'ann', same: false })
  })

  it('runs code from elsewhere in the request by scope.run', async () => {
    const app = await open()
    app.get('/', async (request) => {
      user.set('ann')
      const { requestScope: scope } = request
      return run(current().without(user), () => ({ block: user.get() ?? null, scope: scope.run(() => user.get()) }))
    })

    expect((await app.inject('/')).json()).toEqual({ block: null, scope: 'ann' })
  })

  it('opens the scope also if a plugin generates its own request ids', async () => {
    const app = await open()
    await app.register(async (child) => {
      child.setGenReqId(() => 'own')
      child.get('/', async (request) => [request.id, user.get() ?? null, request.requestScope.name])
    })

    expect((await app.inject('/')).json()).toEqual(['own', null, 'GET /'])
  })

  it("takes a caller's deadline for the request's", async () => {
    const app = await open({ trust: 'loopback', propagators: [requestTimeout()] })
    app.get('/', async (request) => {
      const left = (request.requestScope.deadline ?? 0) - Date.now()
      return { left: left > 0 && left <= 50, reason: ((await reasonOf(request.requestScope.signal)) as Error).name }
    })

    expect(await fetchJson(await listen(app), '/', { 'grpc-timeout': '50m' })).toEqual({
      left: true,
      reason: 'DeadlineError',
    })
  })

  it('names the scope by method and route', async () => {
    const app = await open()
    app.get('/orders/:id', async (request) => request.requestScope.name)
    app.setNotFoundHandler(async (request) => request.requestScope.name)

    expect((await app.inject('/orders/7')).body).toBe('GET /orders/:id')
    expect((await app.inject('/nowhere')).body).toBe('GET (no route)')
  })

  it('seals a request when its reply is closed and its handler has settled, in that order or the other', async () => {
    const app = await open()
    const hangUp = Promise.withResolvers<void>()
    let scope: RequestScope | undefined
    let afterHangUp: string | undefined
    app.get('/', async (request) => {
      ;({ requestScope: scope } = request)
      user.set('ann')
      await hangUp.promise
      afterHangUp = user.get()
    })
    const socket = connect(await listen(app), '127.0.0.1')
    socket.on('error', () => {})

    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await expect.poll(() => scope).toBeDefined()
    const aborted = once(scope?.signal as AbortSignal, 'abort')
    socket.destroy()
    await aborted
    expect(scope?.sealed).toBe(false)
    hangUp.resolve()
    await expect.poll(() => scope?.sealed).toBe(true)

    expect(afterHangUp).toBe('ann')
    expect(scope?.context.get(user)).toBeUndefined()
    expect(scope?.context.has(requestId)).toBe(true)
    expect(scope?.signal.reason).toMatchObject({ code: 'LCTX_CLIENT_GONE' })
  })

  it('keeps the values for what Fastify does with a handler that fails after a hang-up', async () => {
    const app = await open()
    const started = Promise.withResolvers<void>()
    const told = Promise.withResolvers<string | undefined>()
    app.setErrorHandler(async () => told.resolve(user.get()))
    app.get('/', async ({ requestScope: scope }) => {
      user.set('ann')
      started.resolve()
      throw await reasonOf(scope.signal)
    })
    const socket = connect(await listen(app), '127.0.0.1')
    socket.on('error', () => {})

    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await started.promise
    socket.destroy()

    expect(await told.promise).toBe('ann')
  })

  it.each<[string, object, object, number]>([
    ["the handler's time", {}, { handlerTimeout: 30 }, 30],
    ["the connection's time", { connectionTimeout: 40 }, {}, 40],
  ])('aborts the signal when %s is over', async (_name, server, route, limitMs) => {
    const app = Fastify(server)
    apps.push(app)
    await app.register(logicalContext)
    const reason = Promise.withResolvers<unknown>()
    app.get('/', route, async ({ requestScope: scope }) => {
      reason.resolve(await reasonOf(scope.signal))
      return 'late'
    })
    const socket = connect(await listen(app), '127.0.0.1')
    socket.on('error', () => {})

    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')

    expect(await reason.promise).toMatchObject({
      code: 'LCTX_TIMEOUT',
      message: expect.stringContaining(`${limitMs} ms`),
    })
    socket.destroy()
  })

  it.each<[name: string, begin: (reply: FastifyReply) => unknown]>([
    ['has not begun', () => {}],
    ['has begun', ({ raw }) => raw.writeHead(200).write('a part')],
  ])(
    "runs the listeners of Fastify's signal in the unit at the handler's limit, if the reply %s",
    async (_name, begin) => {
      const app = Fastify()
      apps.push(app)
      await app.register(logicalContext)
      const seen: unknown[] = []
      app.get('/', { handlerTimeout: 30 }, async ({ signal, requestScope: scope }, reply) => {
        user.set('ann')
        const look = () => seen.push([user.get(), scope.signal.reason])
        signal.addEventListener('abort', look)
        AbortSignal.any([signal]).addEventListener('abort', look)
        begin(reply)
        await reasonOf(scope.signal)
      })
      const socket = connect(await listen(app), '127.0.0.1').on('error', () => {})

      socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
      await expect.poll(() => seen.length).toBe(2)
      socket.destroy()

      const atLimit = ['ann', expect.objectContaining({ code: 'LCTX_TIMEOUT' })]
      expect(seen).toEqual([atLimit, atLimit])
    },
  )

  it('aborts with the limit of the handler in a request that reached it in an earlier hook', async () => {
    const app = Fastify()
    apps.push(app)
    app.addHook('onRequest', async (request) => void (await once(request.signal, 'abort')))
    await app.register(logicalContext)
    const reason = Promise.withResolvers<unknown>()
    app.addHook('onSend', async ({ requestScope: scope }) => reason.resolve(scope.signal.reason))
    app.get('/', { handlerTimeout: 30 }, () => 'never reached')

    const { statusCode } = await app.inject('/')

    expect(statusCode).toBe(503)
    expect(await reason.promise).toMatchObject({ code: 'LCTX_TIMEOUT' })
  })

  it('leaves the signal of an answered request alone', async () => {
    const app = await open()
    let scope: RequestScope | undefined
    app.get('/', async (request) => {
      ;({ requestScope: scope } = request)
      return scope.signal.aborted
    })

    expect(await fetchJson(await listen(app), '/')).toBe(false)
    await expect.poll(() => scope?.sealed).toBe(true)

    expect(scope?.signal.aborted).toBe(false)
  })

  it('keeps a bound WebSocket listener in the request until the socket closes', async () => {
    const app = await open()
    await app.register(websocket)
    const seen: (string | undefined)[] = []
    let scope: RequestScope | undefined
    app.get('/ws', { websocket: true }, (socket, request) => {
      ;({ requestScope: scope } = request)
      user.set('ann')
      socket.on(
        'message',
        bind(() => {
          seen.push(user.get())
          socket.send('pong')
        }),
      )
    })
    const client = new WebSocket(`ws://127.0.0.1:${await listen(app)}/ws`)
    await new Promise((resolve) => client.addEventListener('open', resolve))

    for (let i = 0; i < 2; i++) {
      const answered = new Promise((resolve) => client.addEventListener('message', resolve, { once: true }))
      client.send('ping')
      await answered
    }
    client.close()
    await expect.poll(() => scope?.sealed).toBe(true)

    expect(seen).toEqual(['ann', 'ann'])
  })
})

describe("logicalContext's policy for tasks", () => {
  const look = () => ({ tenant: tenant.get(), user: user.get() ?? null })
  const spawnAndLook = async (options?: { policy: Policy }) => {
    tenant.set('acme')
    user.set('ann')
    return spawn(look, options).result()
  }
  const both = { tenant: 'acme', user: 'ann' }
  const survivors = { tenant: 'acme', user: null }

  it.each<[string, LogicalContextOptions, { policy?: Policy }, { policy: Policy } | undefined, object]>([
    ['is inherit without an option', {}, {}, undefined, both],
    ["is the plugin's", { policy: 'isolate' }, {}, undefined, survivors],
    ["is the route's above the plugin's", { policy: 'isolate' }, { policy: 'inherit' }, undefined, both],
    ["is the spawn's own above all", { policy: 'inherit' }, { policy: 'inherit' }, { policy: 'isolate' }, survivors],
    ['may be a list of variables', {}, { policy: { only: [user] } }, undefined, both],
    ['may be share', { policy: 'share' }, {}, undefined, both],
  ])('%s', async (_name, plugin, route, own, expected) => {
    const app = await open(plugin)
    app.get('/', { config: { logicalContext: route } }, () => spawnAndLook(own))

    expect((await app.inject('/')).json()).toEqual(expected)
  })

  it('reaches the tasks that a task spawns', async () => {
    const app = await open()
    app.get('/', { config: { logicalContext: { policy: 'isolate' } } }, async () => {
      user.set('ann')
      return spawn(() => {
        user.set('of the task')
        return spawn(() => user.get() ?? null).result()
      }).result()
    })

    expect((await app.inject('/')).json()).toBe(null)
  })

  it('does not reach a sibling of the plugin it was set in', async () => {
    const app = Fastify()
    apps.push(app)
    for (const policy of ['inherit', 'isolate'] as const) {
      await app.register(async (child) => {
        await child.register(logicalContext, { policy })
        child.get(`/${policy}`, () => spawnAndLook())
      })
    }
    app.get('/bare', async () => user.get() ?? null)

    expect((await app.inject('/inherit')).json()).toEqual(both)
    expect((await app.inject('/isolate')).json()).toEqual(survivors)
    expect((await app.inject('/bare')).json()).toBe(null)
  })

  it('is that of a registration within another one for the routes there alone, below their own', async () => {
    const app = await open()
    await app.register(async (child) => {
      await child.register(logicalContext, { policy: 'isolate' })
      child.get('/child', () => spawnAndLook())
      child.get('/own', { config: { logicalContext: { policy: 'inherit' } } }, () => spawnAndLook())
    })
    app.get('/outer', () => spawnAndLook())

    expect((await app.inject('/child')).json()).toEqual(survivors)
    expect((await app.inject('/own')).json()).toEqual(both)
    expect((await app.inject('/outer')).json()).toEqual(both)
  })

  it('stays that of the plugin around where a registration in it names none', async () => {
    const app = await open()
    await app.register(async (child) => {
      await child.register(logicalContext, { policy: 'isolate' })
      await child.register(async (grandchild) => {
        await grandchild.register(logicalContext)
        grandchild.get('/', () => spawnAndLook())
      })
    })

    expect((await app.inject('/')).json()).toEqual(survivors)
  })

  it('is all that a registration within another one may set', async () => {
    const app = await open()

    await expect(async () => app.register(logicalContext, { trust: 'loopback' })).rejects.toThrow(
      /^logicalContext, registered a second time: unknown option 'trust', expected one of: policy/,
    )
  })

  it('throws at the registration of the route if it is not a policy', async () => {
    const app = await open()

    expect(() => app.get('/', { config: { logicalContext: { policy: 'inherits' as never } } }, async () => 1)).toThrow(
      /config.logicalContext of GET \/: option 'policy' expected .* got 'inherits'/,
    )
  })
})

describe("logicalContext's tasks", () => {
  it('outlive the reply and a hang-up, with their values', async () => {
    const app = await open()
    const go = Promise.withResolvers<void>()
    let task: Task<string | undefined> | undefined
    let scope: RequestScope | undefined
    app.get('/', async (request) => {
      ;({ requestScope: scope } = request)
      user.set('ann')
      task = spawn(async () => {
        await go.promise
        return user.get()
      })
      return 'ok'
    })

    await (await fetch(`http://127.0.0.1:${await listen(app)}/`)).text()
    await expect.poll(() => scope?.sealed).toBe(true)
    go.resolve()

    await expect(task?.result()).resolves.toBe('ann')
    expect(task?.signal.aborted).toBe(false)
  })

  it("abort with the request if their option is set, and a task's own tasks with them", async () => {
    const app = await open({ drainTimeoutMs: 20 })
    const reasons: unknown[] = []
    let spawned = false
    app.get('/', async () => {
      spawn(
        async (outer) => {
          spawn(async (inner) => void reasons.push(await reasonOf(inner.signal)), { cancelWith: 'request' })
          spawned = true
          reasons.push(await reasonOf(outer.signal))
        },
        { cancelWith: 'request' },
      )
      await new Promise(() => {})
    })
    const socket = connect(await listen(app), '127.0.0.1')
    socket.on('error', () => {})

    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await expect.poll(() => spawned).toBe(true)
    socket.destroy()
    await expect.poll(() => reasons.length).toBe(2)

    expect(reasons).toMatchObject([{ code: 'LCTX_CLIENT_GONE' }, { code: 'LCTX_CLIENT_GONE' }])
  })

  it('are bounded, a hundred a request and a thousand at a time, unless the limits are set', async () => {
    const spawnAll = async (options: LogicalContextOptions, count: number) => {
      const app = await open({ drainTimeoutMs: 0, ...options })
      app.get('/', async () => {
        for (let i = 0; i < count; i++) spawn(() => new Promise(() => {}))
      })
      const { statusCode } = await app.inject('/')
      return { statusCode, ...app.requestScopes.group.counters }
    }

    expect(await spawnAll({}, 101)).toMatchObject({ statusCode: 500, running: 100, refused: 1 })
    expect(await spawnAll({ limits: { maxPerRequest: 2000 } }, 1001)).toMatchObject({ running: 1000, queued: 1 })
    expect(await spawnAll({ limits: { maxConcurrent: 1, whenFull: 'wait', maxQueued: 0 } }, 3)).toMatchObject({
      statusCode: 200,
      running: 1,
      waiting: 2,
    })
  })

  it('call onError with their failure in their own context, and change nothing else', async () => {
    const told: unknown[] = []
    const app = await open({
      onError: (error, task) => told.push([(error as Error).message, task.name, user.get(), requestId.get()]),
    })
    app.get('/', async () => {
      user.set('ann')
      spawn(
        async () => {
          user.set('bob')
          await Promise.resolve()
          throw new Error('no')
        },
        { name: 'send-receipt' },
      )
      await new Promise((resolve) => setImmediate(resolve))
      return { user: user.get(), id: requestId.get() }
    })

    const answer = (await app.inject('/')).json() as { id: string }

    expect(answer).toMatchObject({ user: 'ann' })
    expect(told).toEqual([['no', 'send-receipt', 'bob', answer.id]])
  })
})

describe("logicalContext's way in", () => {
  const id = '0af7651916cd43dd8448eb211c80319c'
  const traceparent = `00-${id}-b7ad6b7169203331-01`

  it('continues the trace of a private peer and echoes a good request id as its own', async () => {
    const app = await open()
    app.get('/', async (request) => {
      const trace = traceContext.get()
      return { id: request.id, same: requestId.get(), trace: trace?.traceId, parent: trace?.parentSpanId }
    })

    const answer = await fetchJson(await listen(app), '/', { traceparent, 'x-request-id': 'r-1' })

    expect(answer).toEqual({ id: 'r-1', same: 'r-1', trace: id, parent: 'b7ad6b7169203331' })
  })

  it.each<[string, LogicalContextOptions, string, string | undefined]>([
    ['the header x-request-id', {}, 'x-request-id', 'r-1'],
    ['a header of its own', { replyIdHeader: 'x-correlation-id' }, 'x-correlation-id', 'r-1'],
    ['no header', { replyIdHeader: false }, 'x-request-id', undefined],
  ])('sends the id back in %s, with an error too', async (_name, options, header, expected) => {
    const app = await open(options)
    app.get('/', async () => {
      throw new Error('no')
    })

    const reply = await app.inject({ url: '/', headers: { 'x-request-id': 'r-1' } })

    expect(reply.headers[header]).toBe(expected)
  })

  it.each<[string, LogicalContextOptions, RegExp | undefined]>([
    ['by default', {}, undefined],
    ['if it is off', { serverTiming: false }, undefined],
    ['if it is on', { serverTiming: true }, /^trace;desc="00-[\da-f]{32}-[\da-f]{16}-03"$/],
  ])('has the trace in Server-Timing %s, with an error too', async (_name, options, expected) => {
    const app = await open(options)
    const spans: (string | undefined)[] = []
    app.get('/', async () => {
      spans.push(traceContext.get()?.spanId)
      throw new Error('no')
    })

    const reply = await app.inject('/')

    const text = reply.headers['server-timing'] as string | undefined
    if (expected === undefined) expect(text).toBeUndefined()
    else expect(text).toMatch(expected)
    if (expected !== undefined) expect(text?.split('-')[2]).toBe(spans[0])
  })

  it.each<[name: string, answer: (reply: FastifyReply) => unknown, own: RegExp]>([
    ['reply.header', (reply) => reply.header('Server-Timing', 'db;dur=5').send('ok'), /^db;dur=5, $/],
    ['reply.header with a list', (reply) => reply.header('server-timing', ['a', 'b']).send('ok'), /^a, b, $/],
    ['a stream', (reply) => reply.header('server-timing', 'a').send(Readable.from(['ok'])), /^a, $/],
    [
      'a Response',
      (reply) => reply.header('server-timing', 'a').send(new Response('ok', { headers: { 'server-timing': 'b' } })),
      /^(?:a, )?b, $/,
    ],
    ['writeHead of the raw response', (reply) => rawOf(reply).writeHead(200, { 'Server-Timing': 'a' }).end(), /^a, $/],
    ['writeHead of a list', (reply) => rawOf(reply).writeHead(200, ['server-timing', 'a']).end(), /^a, $/],
    ['setHeader of the raw response', (reply) => rawOf(reply).setHeader('server-timing', 'a').end(), /^a, $/],
    ['nothing on the raw response', (reply) => rawOf(reply).end(), /^$/],
  ])('adds the trace to Server-Timing, after what the program sets: %s', async (_name, answer, own) => {
    const app = await open({ serverTiming: true })
    let expected = ''
    app.get('/', (_request, reply) => {
      expected = `trace;desc="00-${traceContext.get()?.traceId}-${traceContext.get()?.spanId}-03"`
      void answer(reply)
    })

    const { headers } = await fetch(`http://127.0.0.1:${await listen(app)}/`)

    const text = headers.get('server-timing') ?? ''
    expect(text).toMatch(expected)
    expect(text.replace(expected, '')).toMatch(own)
  })

  it('begins a new trace, and an id of its own, where the peer is restarted', async () => {
    const app = await open({ trust: { privatePeers: 'restart' } })
    app.get('/', async (request) => ({
      id: request.id,
      trace: traceContext.get()?.traceId,
      link: traceContext.get()?.link,
    }))

    const answer = (await fetchJson(await listen(app), '/', { traceparent, 'x-request-id': 'r-1' })) as { id: string }

    expect(answer).toMatchObject({ link: { traceId: id, spanId: 'b7ad6b7169203331' } })
    expect(answer).not.toMatchObject({ trace: id })
    expect(answer.id).not.toBe('r-1')
  })

  it('counts a refusal and reports it once a network, naming the setting', async () => {
    const refusals: unknown[] = []
    const app = await open({ onRefusal: (refusal) => refusals.push(refusal) })
    app.get('/', async () => 1)
    const port = await listen(app)

    for (let i = 0; i < 3; i++) await fetchJson(port, '/', { baggage: 'tenant=evil' })

    expect(app.requestScopes.peers.counters).toEqual({ refused: 3, malformed: 0, duplicate: 0, truncated: 0 })
    expect(refusals).toEqual([
      {
        reason: 'refused',
        field: 'baggage',
        address: '127.0.0.1',
        hint:
          "if the peer is a service of your own, list its address in the option 'trust'. Do not list a proxy: " +
          'each of its clients could set values',
      },
    ])
  })

  it('takes nothing from the peer, and logs it, if a function of the program fails on a request', async () => {
    const refusals: { field: string; hint: string }[] = []
    const failing = () => {
      throw new Error('no certificate')
    }
    const broken: Propagator = { fields: ['x-own'], extract: failing, inject: () => {} }
    const app = await open({
      trust: failing,
      propagators: [broken, w3cTraceContext()],
      onRefusal: (refusal) => {
        refusals.push(refusal)
        throw new Error('onRefusal')
      },
    })
    app.get('/', async () => ({ trace: traceContext.get()?.traceId, link: traceContext.get()?.link?.traceId }))

    const answer = await fetchJson(await listen(app), '/', { traceparent })

    expect(answer).toEqual({ trace: expect.not.stringContaining(id), link: id })
    expect(app.requestScopes.peers.counters).toMatchObject({ refused: 2, malformed: 1 })
    expect(refusals.map(({ field }) => field)).toEqual(['trust', 'x-own'])
    expect(refusals[0]?.hint).toContain('no certificate')
  })

  it('answers whatever a peer sends', async () => {
    const app = await open({ trust: 'loopback' })
    app.get('/', async () => 1)
    const port = await listen(app)
    const bad = ['', ',', '=', '\t', '%C3%', 'a'.repeat(4000), '__proto__=1', ';;;', '00-0-0-0', '"']

    for (const value of bad) {
      const headers = { traceparent: value, tracestate: value, baggage: value, 'x-request-id': value }
      expect(await fetchJson(port, '/', headers)).toBe(1)
    }
  })
})

describe("logicalContext's loggers", () => {
  it.each<[name: string, isItsOwn: (bindings: { reqId?: string }) => boolean]>([
    ['always', () => true],
    ['for a request', ({ reqId }) => reqId !== ''],
  ])('are left alone where they are their own children, %s', async (_name, isItsOwn) => {
    const silent = () => {}
    const methods = { fatal: silent, error: silent, warn: silent, info: silent, debug: silent, trace: silent, silent }
    const logger: FastifyBaseLogger = {
      ...methods,
      level: 'info',
      child: (bindings: object) => (isItsOwn(bindings) ? logger : { ...logger }),
    }
    const app = Fastify({ loggerInstance: logger })
    apps.push(app)
    await app.register(logicalContext)
    app.get('/', async () => requestId.get() !== undefined)

    const { body } = await app.inject('/')

    expect(body).toBe('true')
    expect(Object.getOwnPropertySymbols(logger)).toEqual([])
  })
})

describe("logicalContext's options", () => {
  it.each<[string, unknown, RegExp]>([
    ['an unknown option', { drainTimeout: 5 }, /unknown option 'drainTimeout', expected one of: .*drainTimeoutMs/],
    ['no name of a header', { replyIdHeader: 'a b' }, /option 'replyIdHeader' expected the name of a header or false/],
    ['a negative time', { drainTimeoutMs: -1 }, /option 'drainTimeoutMs' expected a number of at least 0, got -1/],
    ['a policy that is none', { policy: 'none' }, /option 'policy' expected .* got 'none'/],
    ['an only of no variables', { policy: { only: ['tenant'] } }, /option 'policy' expected/],
    ['no function for onError', { onError: 'log' }, /option 'onError' expected a function, got 'log'/],
    [
      'no propagator in the list',
      { propagators: [{}] },
      /^logicalContext: option 'propagators' expected a propagator with fields, extract and inject, got {}/,
    ],
    ['no address to trust', { trust: ['not an address'] }, /not an address/],
    [
      'a limit that is not a number',
      { limits: { maxConcurrent: 0 } },
      /option 'maxConcurrent' expected a whole number/,
    ],
    ['a wrong word for late writes', { lateWrites: 'ignore' }, /option 'lateWrites' expected 'throw' or 'report'/],
  ])('refuse %s at registration', async (_name, options, message) => {
    const app = Fastify()

    await expect(async () => app.register(logicalContext, options as LogicalContextOptions)).rejects.toThrow(message)
  })

  it("refuse to share a server with Fastify's own header for request ids", async () => {
    const app = Fastify({ requestIdHeader: 'x-request-id' })

    await expect(async () => app.register(logicalContext)).rejects.toThrow(
      /without its option 'requestIdHeader'.*xRequestId\(\{ header: 'x-request-id' \}\)/,
    )
  })
})

describe("logicalContext's close", () => {
  it('waits for handlers, for their tasks, and for the tasks of those', async () => {
    const reports: DrainReport[] = []
    const app = await open({ onDrained: (report) => reports.push(report) })
    const order: string[] = []
    const started = Promise.withResolvers<void>()
    app.addHook('onClose', async () => void order.push('onClose of another plugin'))
    app.get('/', async () => {
      started.resolve()
      await new Promise((resolve) => setTimeout(resolve, 30))
      order.push('handler')
      spawn(async () => {
        await new Promise((resolve) => setTimeout(resolve, 30))
        order.push('task')
        spawn(async () => {
          await new Promise((resolve) => setTimeout(resolve, 30))
          order.push('task of the task')
        })
      })
      return 'ok'
    })
    const answer = fetch(`http://127.0.0.1:${await listen(app)}/`)
    await started.promise

    await app.close()

    expect(order).toEqual(['handler', 'task', 'task of the task', 'onClose of another plugin'])
    expect(reports).toMatchObject([{ finished: 2, unfinished: [] }])
    expect((await answer).status).toBe(200)
  })

  it('aborts what is left at its limit, and names it with its request id', async () => {
    const reports: DrainReport[] = []
    const app = await open({ drainTimeoutMs: 50, onDrained: (report) => reports.push(report) })
    const reasons: unknown[] = []
    app.get('/', async () => {
      spawn(async ({ signal }) => void reasons.push(await reasonOf(signal)), { name: 'obedient' })
      spawn(() => new Promise(() => {}), { name: 'stuck', policy: 'isolate' })
      return 'ok'
    })
    await fetch(`http://127.0.0.1:${await listen(app)}/`, { headers: { 'x-request-id': 'r-1' } })

    await app.close()

    expect(reasons).toMatchObject([{ code: 'LCTX_ABANDONED' }])
    expect(
      reports[0]?.unfinished.map(({ name, policy, ended, context }) => [name, policy, ended, context.get(requestId)]),
    ).toEqual([
      ['obedient', 'inherit', true, 'r-1'],
      ['stuck', 'isolate', false, 'r-1'],
    ])
  })

  it('answers a request in flight, and does not wait for the connection that stays open', async () => {
    const app = await open()
    const started = Promise.withResolvers<void>()
    app.get('/', async () => {
      started.resolve()
      await new Promise((resolve) => setTimeout(resolve, 50))
      return 'ok'
    })
    const agent = new Agent({ keepAlive: true })
    const sent = httpRequest({ port: await listen(app), agent }).end()
    const answered = once(sent, 'response')
    await started.promise

    await app.close()
    const [response] = (await answered) as [IncomingMessage]
    agent.destroy()

    expect(response.statusCode).toBe(200)
  })

  it('refuses spawns into the group after it', async () => {
    const app = await open()
    let scope: RequestScope | undefined
    app.get('/', async (request) => {
      ;({ requestScope: scope } = request)
      return 'ok'
    })
    await app.inject('/')
    const { group } = app.requestScopes

    await app.close()

    expect(() => group.spawn(() => {})).toThrow(expect.objectContaining({ code: 'LCTX_GROUP_CLOSED' }))
    await expect.poll(() => scope?.sealed).toBe(true)
  })
})

describe("logicalContext's late use", () => {
  it('reports a late read once, with the unit, and counts each', async () => {
    const uses: LateUse[] = []
    const app = await open({ onLateUse: (use) => uses.push(use) })
    let late: (() => unknown) | undefined
    app.get('/orders', async () => {
      user.set('ann')
      late = bind(() => user.get())
      return 'ok'
    })
    await app.inject('/orders')
    await expect.poll(() => late?.()).toBeUndefined()

    for (let i = 0; i < 3; i++) late?.()

    expect(app.requestScopes.lateUse.reads).toBeGreaterThanOrEqual(3)
    expect(uses.filter((use) => use.callSite.includes('fastify.test'))).toHaveLength(uses.length)
    expect(uses[0]).toMatchObject({ operation: 'read', variable: 'user', unit: 'GET /orders' })
  })
})

function reasonOf(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason)
    else signal.addEventListener('abort', () => resolve(signal.reason), { once: true })
  })
}
