import { createServer, type Server } from 'node:http'
import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import { ContextVar, LogicalContext } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { Inbound } from 'logical-context/middleware/inbound'
import { sendRequest, valueHeaders } from 'logical-context/testing'
import { describe, expect, it, onTestFinished } from 'vitest'

const user = new ContextVar<string>('user')
const tenant = new ContextVar<string>('tenant')
const values = LogicalContext.empty.with(user, 'ann').with(tenant, 'acme')

async function open(prepare: (app: FastifyInstance) => unknown = () => {}): Promise<FastifyInstance> {
  const app = Fastify()
  onTestFinished(() => app.close())
  await app.register(logicalContext)
  await prepare(app)
  app.get('/', async () => ({ user: user.get() ?? null, tenant: tenant.get() ?? null }))
  app.post('/echo', async ({ body, headers }) => ({ body, type: headers['content-type'] ?? null }))
  app.get('/empty', async (_request, reply) => reply.code(204).send())
  return app
}

async function serverByHand(): Promise<Server> {
  const inbound = new Inbound()
  const server = createServer((request, response) => {
    const scope = inbound.open(request.url ?? '', request)
    response.once('close', () => scope.close())
    scope.run(() => response.end(JSON.stringify({ user: user.get() ?? null })))
  })
  onTestFinished(async () => void server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

describe('sendRequest', () => {
  it('sends a request through an app that does not listen', async () => {
    const app = await open()

    const response = await sendRequest(app, { values })

    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ user: 'ann', tenant: 'acme' })
    expect(response.headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/)
  })

  it('sends a request over a socket to an app that listens', async () => {
    let port: number | undefined
    const app = await open((opened) => {
      opened.addHook('onRequest', async (request) => void (port = request.socket.localPort))
    })
    const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))

    const response = await sendRequest(app, { values })

    expect(await response.json()).toEqual({ user: 'ann', tenant: 'acme' })
    expect(String(port)).toBe(url.port)
  })

  it.each<[name: string, target: (server: Server, url: string) => Server | URL | string]>([
    ['a server of node:http', (server) => server],
    ['an address', (_server, url) => url],
    ['a URL', (_server, url) => new URL(url)],
  ])('sends a request to %s', async (_, target) => {
    const server = await serverByHand()
    const { port } = server.address() as { port: number }

    const response = await sendRequest(target(server, `http://127.0.0.1:${port}`), { values })

    expect(await response.json()).toEqual({ user: 'ann' })
  })

  it('separates the values of requests that overlap', async () => {
    const app = await open()
    const names = ['ann', 'bob', 'cleo']

    const responses = await Promise.all(
      names.map((name) => sendRequest(app, { values: LogicalContext.empty.with(user, name) })),
    )

    expect(await Promise.all(responses.map((response) => response.json()))).toEqual(
      names.map((name) => ({ user: name, tenant: null })),
    )
  })

  it('adds no values to a later request, or to one with another token', async () => {
    const app = await open()
    await sendRequest(app, { values })

    const later = await sendRequest(app)
    const guessed = await sendRequest(app, { headers: { 'x-logical-context-values': 'undefined' } })

    expect(await later.json()).toEqual({ user: null, tenant: null })
    expect(await guessed.json()).toEqual({ user: null, tenant: null })
  })

  it('keeps a value that a hook of the app sets', async () => {
    const app = await open((opened) => opened.addHook('onRequest', async () => user.set('from the token')))

    const response = await sendRequest(app, { values })

    expect(await response.json()).toEqual({ user: 'from the token', tenant: 'acme' })
  })

  it.each([
    ['an object as JSON', { n: 1 }, { body: { n: 1 }, type: 'application/json' }],
    ['a text', 'hello', { body: 'hello', type: expect.stringContaining('text/plain') as unknown }],
  ])('posts %s', async (_, body, expected) => {
    const app = await open()
    const headers: Record<string, string> = typeof body === 'string' ? { 'content-type': 'text/plain' } : {}

    const injected = await sendRequest(app, { url: '/echo', body, headers })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const sent = await sendRequest(app, { url: '/echo', body, headers })

    expect(await injected.json()).toEqual(expected)
    expect(await sent.json()).toEqual(expected)
  })

  it('returns a response without a body', async () => {
    const response = await sendRequest(await open(), { url: '/empty' })

    expect([response.status, await response.text()]).toEqual([204, ''])
  })

  it.each<[name: string, app: unknown, request: unknown, message: string]>([
    ['something that is not an app', {}, {}, 'sendRequest: expected a Fastify app, an address, or a server'],
    ['a server that does not listen', createServer(), {}, 'sendRequest: expected a Fastify app'],
    ['an unknown option', Fastify(), { path: '/' }, "sendRequest: unknown option 'path'"],
    [
      'an app without a middleware',
      Fastify().get('/', async () => 'ok'),
      { values },
      'sendRequest: expected an app of this process whose requests have a unit, got a reply from one that did not take',
    ],
    ['values that are not a context', Fastify(), { values: { user: 'ann' } }, "option 'values' expected a Logical"],
    [
      'Headers',
      Fastify(),
      { headers: new Headers() },
      "option 'headers' expected an object of texts by name, got Headers",
    ],
    [
      'a form',
      Fastify(),
      { body: new URLSearchParams('a=1') },
      "option 'body' expected a text, or an object that is sent as",
    ],
    [
      'bytes',
      Fastify(),
      { body: Buffer.from('a') },
      "option 'body' expected a text, or an object that is sent as JSON",
    ],
    [
      'a stream',
      Fastify(),
      { body: Readable.from(['a']) },
      "option 'body' expected a text, or an object that is sent as JSON",
    ],
    [
      'a number as its body',
      Fastify(),
      { body: 5 },
      "option 'body' expected a text, or an object that is sent as JSON",
    ],
  ])('rejects %s', async (_, app, request, message) => {
    await expect(sendRequest(app as never, request as never)).rejects.toThrow(message)
  })
})

describe('valueHeaders', () => {
  it('returns headers that any client can send', async () => {
    const app = await open()
    const url = await app.listen({ port: 0, host: '127.0.0.1' })

    const response = await fetch(url, { headers: valueHeaders(values) })

    expect(await response.json()).toEqual({ user: 'ann', tenant: 'acme' })
  })

  it('throws for values that are not a context', () => {
    expect(() => valueHeaders({ user: 'ann' } as never)).toThrow('valueHeaders: expected a LogicalContext')
  })
})
