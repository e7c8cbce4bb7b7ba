import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { type AddressInfo, connect } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { ContextVar, type RequestScope } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { requestId } from 'logical-context/variables'
import { afterEach, describe, expect, it, onTestFinished } from 'vitest'

const user = new ContextVar<string>('user')

const apps: FastifyInstance[] = []
afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close()))
})

async function portOf(app: FastifyInstance): Promise<number> {
  apps.push(app)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return (app.server.address() as AddressInfo).port
}

/** How many requests a close finds unfinished. */
async function unfinishedAtClose(app: FastifyInstance, reports: number[]): Promise<number | undefined> {
  await app.close()
  return reports.pop()
}

describe("logicalContext's entry", () => {
  it('goes on in the same unit where a request is routed again, in this app or in another one', async () => {
    const reports: number[] = []
    const inner = Fastify()
    await inner.register(logicalContext, {})
    inner.get('/inner', (request) => ({ scope: request.requestScope.name, user: user.get() }))
    await inner.ready()
    const app = Fastify()
    await app.register(logicalContext, {
      drainTimeoutMs: 200,
      onDrained: ({ unfinishedRequests }) => void reports.push(unfinishedRequests.length),
    })
    app.get('/here', (request, reply) => {
      user.set('ada')
      reply.hijack()
      request.raw.url = '/again'
      app.routing(request.raw, reply.raw)
    })
    app.get('/again', (request) => ({ scope: request.requestScope.name, user: user.get() }))
    app.get('/inner', (request, reply) => {
      user.set('ada')
      reply.hijack()
      inner.routing(request.raw, reply.raw)
    })
    const port = await portOf(app)

    const answers = await Promise.all(
      ['/here', '/inner'].map(async (path) => (await fetch(`http://127.0.0.1:${port}${path}`)).json()),
    )

    expect(answers).toEqual([
      { scope: 'GET /again', user: 'ada' },
      { scope: 'GET /inner', user: 'ada' },
    ])
    expect(await unfinishedAtClose(app, reports)).toBe(0)
  })

  it.each(['/%', `/${'a'.repeat(101)}`])(
    'opens a unit where the option frameworkErrors replies, for %s',
    async (path) => {
      const sealed: string[] = []
      const noted = ({ scope }: { scope: RequestScope }) => void sealed.push(scope.name)
      subscribe('logical-context:scope:seal', noted as never)
      onTestFinished(() => void unsubscribe('logical-context:scope:seal', noted as never))
      const app = Fastify({
        frameworkErrors(error, request, reply) {
          user.set('ada')
          setImmediate(() => {
            const isSame = request.id === requestId.get()
            void (reply as FastifyReply).code(400).send({ code: error.code, isSame, user: user.get() })
          })
        },
      })
      await app.register(logicalContext)
      app.get('/:id', () => 'never reached')
      const port = await portOf(app)

      const reply = await fetch(`http://127.0.0.1:${port}${path}`)

      expect(await reply.json()).toMatchObject({ isSame: true, user: 'ada' })
      expect(reply.headers.get('x-request-id')).not.toBeNull()
      await expect.poll(() => sealed).toEqual(['GET (no route)'])
    },
  )

  it.each([
    ['HTTP/1', false],
    ['HTTP/2', true],
  ])('ends a request whose client has gone in a hook before it, over %s', async (_name, http2) => {
    const reports: number[] = []
    const arrived = Promise.withResolvers<void>()
    const gone = Promise.withResolvers<void>()
    const handled = Promise.withResolvers<RequestScope>()
    const app = http2 ? (Fastify({ http2: true }) as unknown as FastifyInstance) : Fastify()
    app.addHook('onRequest', async (_request, { raw }) => {
      const closed = once(raw, 'close')
      arrived.resolve()
      await closed
      gone.resolve()
    })
    await app.register(logicalContext, {
      drainTimeoutMs: 200,
      onDrained: ({ unfinishedRequests }) => void reports.push(unfinishedRequests.length),
    })
    app.get('/', (request) => {
      handled.resolve(request.requestScope)
      return 'no client reads it'
    })
    const port = await portOf(app)
    const hangUp = http2 ? askHttp2(port) : ask(port)

    await arrived.promise
    hangUp()
    await gone.promise
    const scope = await handled.promise

    expect(await unfinishedAtClose(app, reports)).toBe(0)
    expect(scope.sealed).toBe(true)
    expect(scope.signal.reason).toMatchObject({ code: 'LCTX_CLIENT_GONE' })
  })

  it.each([
    ['HTTP/1', false],
    ['HTTP/2', true],
  ])('ends a request that a hook before it has answered, over %s', async (_name, http2) => {
    const answered = Promise.withResolvers<RequestScope>()
    const app = http2 ? (Fastify({ http2: true }) as unknown as FastifyInstance) : Fastify()
    app.addHook('onRequest', async ({ requestScope: scope }, reply) => {
      // The unit ends in the next turn at the latest.
      reply.raw.once('close', () => setImmediate(() => setImmediate(() => answered.resolve(scope))))
      return reply.code(401).send('not you')
    })
    await app.register(logicalContext)
    app.get('/', () => 'never reached')
    const port = await portOf(app)

    const hangUp = http2 ? askHttp2(port) : ask(port)
    const scope = await answered.promise
    hangUp()

    expect(scope.sealed).toBe(true)
  })
})

function ask(port: number): () => void {
  const socket = connect(port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  return () => void socket.destroy()
}

function askHttp2(port: number): () => void {
  const session = connectHttp2(`http://127.0.0.1:${port}`)
  session.request({ ':path': '/' }).on('error', () => {})
  return () => session.destroy()
}
