import { type AddressInfo, connect } from 'node:net'
import newest from 'fastify'
import fastify50 from 'fastify-5-0'
import fastify511 from 'fastify-5-11'
import { ContextVar, type RequestScope, spawn } from 'logical-context'
import { logicalContext } from 'logical-context/middleware/fastify'
import { requestId } from 'logical-context/variables'
import { describe, expect, it, onTestFinished } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }
import { foreigners, OtherRequest, urlOf } from './foreign-context.ts'

const user = new ContextVar<string>('user')
const versions = [
  ['5.0.0', fastify50 as unknown as typeof newest],
  ['5.11.3', fastify511 as unknown as typeof newest],
  ['the newest', newest],
] as const

describe.each(versions)('logicalContext on Fastify %s', (_version, Fastify) => {
  it.each(foreigners)('keeps the context in every hook, with callbacks of %s', async (foreigner) => {
    const app = Fastify()
    onTestFinished(() => app.close())
    const other = new OtherRequest(foreigner)
    const seen: Record<string, unknown> = {}
    await app.register(logicalContext)
    app.addHook('onRequest', async ({ url }) => user.set(url === '/other' ? 'bob' : 'ann'))
    other.declare(app, () => {})
    const hooks = ['preParsing', 'preValidation', 'preHandler', 'preSerialization', 'onSend', 'onResponse'] as const
    for (const name of hooks) {
      const takesPayload = name === 'preParsing' || name === 'preSerialization' || name === 'onSend'
      const hook = ({ url }: { url: string }, done: () => void) => {
        if (url === '/other') return done()
        seen[name] = user.get()
        other.callIn(done)
      }
      const withPayload = (request: { url: string }, _reply: unknown, _payload: unknown, done: () => void) =>
        hook(request, done)
      const withoutPayload = (request: { url: string }, _reply: unknown, done: () => void) => hook(request, done)
      app.addHook(name as 'preHandler', (takesPayload ? withPayload : withoutPayload) as never)
    }
    app.get('/', (_request, reply) => {
      seen['handler'] = user.get()
      other.callIn(() => void reply.send({ id: requestId.get() ?? 'none' }))
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    await other.enter(app)

    const response = await fetch(urlOf(app), { headers: { 'x-request-id': 'r-1' } })
    await response.text()
    await expect.poll(() => seen['onResponse']).toBeDefined()

    expect(response.headers.get('x-request-id')).toBe('r-1')
    expect(seen).toEqual(Object.fromEntries([...hooks, 'handler'].map((place) => [place, 'ann'])))
  })

  it('keeps the values after a disconnect, ends the unit, and drains its tasks', async () => {
    const app = Fastify()
    const order: unknown[] = []
    const entered = Promise.withResolvers<RequestScope>()
    void app.register(logicalContext)
    app.get('/', async ({ requestScope }) => {
      user.set('ann')
      const aborted = new Promise((resolve) => requestScope.signal.addEventListener('abort', resolve))
      entered.resolve(requestScope)
      await aborted
      spawn(async () => {
        await new Promise((resolve) => setImmediate(resolve))
        order.push(`task of ${user.get()}`)
      })
      order.push(user.get())
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {})
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')

    const scope = await entered.promise
    socket.destroy()
    await expect.poll(() => scope.sealed).toBe(true)
    await app.close()

    expect(order).toEqual(['ann', 'task of ann'])
  })

  it('opens a unit for a request without a route, also from inside a plugin', async () => {
    const app = Fastify()
    onTestFinished(() => app.close())
    await app.register(async (child) => void child.register(logicalContext))
    app.setNotFoundHandler(async ({ requestScope }) => requestScope.name)

    expect((await app.inject('/missing')).body).toBe('GET (no route)')
  })
})

describe('the peer range of Fastify', () => {
  it('is all of Fastify 5', () => {
    expect(manifest.peerDependencies.fastify).toBe('>=5.0.0 <6')
  })
})
