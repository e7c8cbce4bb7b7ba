import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { ContextVar, type RequestScope } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { afterEach, describe, expect, it } from 'vitest'

const user = new ContextVar<string>('user')

/** Where the value was looked at, and what was seen there; one request an app. */
type Sightings = Map<string, string | undefined>

interface Shop {
  app: FastifyInstance
  seen: Sightings
  /** The scope of the last request. */
  scope: () => RequestScope | undefined
  /** Resolves when the place has been looked at. */
  reached: (place: string) => Promise<void>
}

const apps: FastifyInstance[] = []
afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close()))
})

/** An app that looks at the value in every hook and in every event of the raw request and response. */
async function open(options: FastifyServerOptions = {}): Promise<Shop> {
  const app = Fastify({ ...options, forceCloseConnections: true }) as unknown as FastifyInstance
  apps.push(app)
  const seen: Sightings = new Map()
  const waiting = new Map<string, PromiseWithResolvers<void>>()
  const waiter = (place: string) => {
    const known = waiting.get(place) ?? Promise.withResolvers<void>()
    waiting.set(place, known)
    return known
  }
  let scope: RequestScope | undefined
  const look = (place: string) => {
    seen.set(place, user.get())
    waiter(place).resolve()
  }

  await app.register(logicalContext, { drainTimeoutMs: 500 })
  app.addHook('onRequest', async (request, reply) => {
    user.set('ann')
    scope = request.scope
    // A listener to the data of a request without a body would end it early, and Fastify would not see it aborted.
    const bodyEvents = request.method === 'POST' ? ['data', 'end'] : []
    for (const event of [...bodyEvents, 'close', 'aborted', 'error']) {
      request.raw.on(event, () => look(`request ${event}`))
    }
    for (const event of ['finish', 'close']) reply.raw.on(event, () => look(`response ${event}`))
    look('onRequest')
    await delay(1)
  })
  app.addHook('preParsing', async (_request, _reply, payload) => {
    look('preParsing')
    return payload
  })
  app.addHook('preValidation', async () => look('preValidation'))
  app.addHook('preHandler', async () => look('preHandler'))
  app.addHook('preSerialization', async (_request, _reply, payload) => {
    look('preSerialization')
    return payload
  })
  app.addHook('onError', async () => look('onError'))
  app.addHook('onSend', async () => look('onSend'))
  app.addHook('onResponse', async () => look('onResponse'))
  app.addHook('onTimeout', async () => look('onTimeout'))
  app.addHook('onRequestAbort', async (_request) => look('onRequestAbort'))
  app.setErrorHandler(async (error: Error & { statusCode?: number }, _request, reply) => {
    look('errorHandler')
    return reply.code(error.statusCode ?? 500).send({ error: error.message })
  })
  app.setNotFoundHandler(async (_request, reply) => {
    look('notFoundHandler')
    return reply.code(404).send({})
  })
  app.addContentTypeParser('text/plain', async (_request: unknown, payload: Readable) => {
    look('parser')
    let text = ''
    for await (const chunk of payload) text += String(chunk)
    look('parser after the body')
    return text
  })
  app.get('/ok', async () => {
    await delay(1)
    look('handler')
    return { ok: true }
  })
  app.get('/callback', (_request, reply) => {
    setTimeout(() => {
      look('handler')
      void reply.send({ ok: true })
    }, 1)
  })
  app.post('/body', async (request) => {
    look('handler')
    return { body: request.body }
  })
  app.get('/throws', async () => {
    await delay(1)
    look('handler')
    throw new Error('no')
  })
  app.get('/invalid', { schema: { querystring: { type: 'object', required: ['x'] } } }, async () => 'never')
  app.get('/stream', async () => {
    const stream = Readable.from(
      (async function* () {
        yield 'a'
        await delay(1)
        look('stream')
        yield 'b'
      })(),
    )
    return stream
  })
  app.get('/hijack', (_request, reply) => {
    reply.hijack()
    setTimeout(() => {
      look('handler')
      reply.raw.end('bye')
    }, 1)
  })
  app.get('/slow', async () => {
    look('handler')
    await delay(150)
    look('handler after the wait')
    return 'late'
  })
  app.get('/timed', { handlerTimeout: 30 }, async () => {
    look('handler')
    await delay(100)
    return 'late'
  })
  app.get('/endless', async () =>
    Readable.from(
      (async function* () {
        for (;;) {
          yield 'x'.repeat(10_000)
          await delay(5)
        }
      })(),
    ),
  )
  return { app, seen, scope: () => scope, reached: (place) => waiter(place).promise }
}

async function listen(app: FastifyInstance): Promise<number> {
  await app.listen({ port: 0, host: '127.0.0.1' })
  return (app.server.address() as AddressInfo).port
}

async function rawSocket(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.on('error', () => {})
  return socket
}

async function expectKept({ seen, scope }: Shop, ...places: string[]): Promise<void> {
  expect([...seen.keys()]).toEqual(expect.arrayContaining(places))
  expect(Object.fromEntries(seen)).toEqual(Object.fromEntries([...seen.keys()].map((place) => [place, 'ann'])))
  await expect.poll(() => scope()?.sealed).toBe(true)
}

const always = ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'onSend', 'onResponse', 'response finish']

describe('logicalContext keeps the value in every hook and event of a request that', () => {
  it.each([
    ['is answered', '/ok', ['handler', 'preSerialization', 'response close', 'request close']],
    ['is answered from a callback', '/callback', ['handler', 'preSerialization', 'response close']],
    ['throws', '/throws', ['handler', 'onError', 'errorHandler', 'response close']],
    ['has no route', '/nowhere', ['notFoundHandler', 'response close']],
    ['replies with a stream', '/stream', ['stream', 'response close']],
  ])('%s', async (_name, path, places) => {
    const shop = await open()
    const port = await listen(shop.app)

    await (await fetch(`http://127.0.0.1:${port}${path}`)).text()
    await shop.reached('response close')
    await shop.reached('onResponse')

    await expectKept(shop, ...always, ...places)
  })

  it('fails its validation', async () => {
    const shop = await open()
    const port = await listen(shop.app)

    await (await fetch(`http://127.0.0.1:${port}/invalid`)).text()
    await shop.reached('response close')

    await expectKept(
      shop,
      'onRequest',
      'preValidation',
      'onError',
      'errorHandler',
      'onSend',
      'onResponse',
      'response close',
    )
  })

  it('has its body in two parts', async () => {
    const shop = await open()
    const socket = await rawSocket(await listen(shop.app))

    socket.write('POST /body HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nab')
    await shop.reached('parser')
    await delay(10)
    socket.write('cd')
    await shop.reached('response close')

    await expectKept(shop, ...always, 'parser', 'parser after the body', 'request data', 'request end', 'handler')
    socket.destroy()
  })

  it('is hijacked', async () => {
    const shop = await open()
    const port = await listen(shop.app)

    await (await fetch(`http://127.0.0.1:${port}/hijack`)).text()
    await shop.reached('response close')

    await expectKept(shop, 'onRequest', 'preHandler', 'handler', 'onResponse', 'response finish', 'response close')
  })

  it('hangs up during the handler', async () => {
    const shop = await open()
    const socket = await rawSocket(await listen(shop.app))

    socket.write('GET /slow HTTP/1.1\r\nhost: x\r\n\r\n')
    await shop.reached('handler')
    socket.destroy()
    await shop.reached('onRequestAbort')
    await shop.reached('handler after the wait')

    await expectKept(shop, 'onRequest', 'onRequestAbort', 'request aborted', 'response close', 'handler after the wait')
  })

  it('hangs up during the body', async () => {
    const shop = await open()
    const socket = await rawSocket(await listen(shop.app))

    socket.write('POST /body HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n{')
    await shop.reached('request data')
    socket.destroy()
    await shop.reached('onRequestAbort')
    await shop.reached('response close')

    await expectKept(shop, 'onRequest', 'onRequestAbort', 'request aborted', 'response close')
  })

  it('hangs up during the reply', async () => {
    const shop = await open()
    const socket = await rawSocket(await listen(shop.app))

    socket.write('GET /endless HTTP/1.1\r\nhost: x\r\n\r\n')
    await once(socket, 'data')
    socket.destroy()
    await shop.reached('response close')
    await shop.reached('onRequestAbort')

    await expectKept(shop, 'onRequest', 'onSend', 'response close', 'onRequestAbort')
  })

  it('runs into the connection timeout', async () => {
    const shop = await open({ connectionTimeout: 50 })
    const socket = await rawSocket(await listen(shop.app))

    socket.write('GET /slow HTTP/1.1\r\nhost: x\r\n\r\n')
    await shop.reached('onTimeout')
    await shop.reached('handler after the wait')

    await expectKept(shop, 'onRequest', 'onTimeout', 'handler')
    socket.destroy()
  })

  it('runs into the handler timeout', async () => {
    const shop = await open()
    const port = await listen(shop.app)

    const response = await fetch(`http://127.0.0.1:${port}/timed`)
    await response.text()
    await shop.reached('response close')

    expect(response.status).toBe(503)
    await expectKept(shop, 'onRequest', 'handler', 'onError', 'errorHandler', 'onSend', 'onResponse', 'response close')
  })

  it('comes over HTTP/2', async () => {
    const shop = await open({ http2: true } as never)
    const port = await listen(shop.app)
    const session = connectHttp2(`http://127.0.0.1:${port}`)

    const stream = session.request({ ':path': '/body', ':method': 'POST', 'content-type': 'text/plain' })
    stream.write('ab')
    await shop.reached('parser')
    stream.end('cd')
    stream.resume()
    await shop.reached('response close')
    await shop.reached('onResponse')

    await expectKept(shop, ...always, 'parser after the body', 'handler', 'response close')
    session.destroy()
  })

  it('is injected', async () => {
    const shop = await open()

    await shop.app.inject({ method: 'POST', url: '/body', headers: { 'content-type': 'text/plain' }, payload: 'ab' })
    await shop.reached('onResponse')

    await expectKept(shop, ...always, 'handler', 'parser after the body')
  })
})
