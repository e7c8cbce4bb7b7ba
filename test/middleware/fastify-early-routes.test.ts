import { type AddressInfo, connect } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import { ContextVar, type RequestScope, spawn } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { expect, it, onTestFinished } from 'vitest'

const user = new ContextVar<string>('user')
const isolated = { config: { logicalContext: { policy: 'isolate' } } } as const

interface Shop {
  readonly app: FastifyInstance
  readonly warnings: unknown[]
}

/** Declares its routes before the plugin. */
async function shop(declare: (app: FastifyInstance) => unknown): Promise<Shop> {
  const warnings: unknown[] = []
  const stream = {
    write(line: string) {
      const { level, msg } = JSON.parse(line) as { level: number; msg: string }
      if (level > 30) warnings.push(msg)
    },
  }
  const app = Fastify({ logger: { stream } })
  onTestFinished(() => app.close())
  declare(app)
  await app.register(logicalContext)
  return { app, warnings }
}

it('a route that was declared before the plugin has the values of its request', async () => {
  const { app } = await shop((early) => {
    early.get('/', async () => {
      user.set('ann')
      await Promise.resolve()
      return user.get()
    })
  })

  expect((await app.inject('/')).body).toBe('ann')
})

it('its policy is the one of its tasks', async () => {
  const { app } = await shop((early) => {
    early.get('/', isolated, () => {
      user.set('ann')
      return spawn(() => user.get() ?? 'nobody').result()
    })
  })

  expect((await app.inject('/')).body).toBe('nobody')
})

it('a policy that is none fails its requests, and says so', async () => {
  const { app } = await shop((early) => {
    early.get('/', { config: { logicalContext: { policy: 'inherits' as never } } }, () => 'ok')
  })

  const answer = await app.inject('/')

  expect(answer.statusCode).toBe(500)
  expect(answer.json()).toMatchObject({
    message: expect.stringMatching(/^config.logicalContext of GET \/: option 'policy' expected .* got 'inherits'/),
  })
})

it('the first one with an async handler is told of, once', async () => {
  const { app, warnings } = await shop((early) => {
    early.get('/a/:id', async () => 'a')
    early.get('/b', async () => 'b')
  })

  await app.inject('/a/1')
  await app.inject('/a/2')
  await app.inject('/b')

  expect(warnings).toEqual([
    'the handler of GET /a/:id was declared before logical-context, which cannot keep its values after a disconnect: ' +
      'await app.register(logicalContext) before the routes',
  ])
})

it('so is a handler of what is not found', async () => {
  const { app, warnings } = await shop((early) => early.setNotFoundHandler(async () => 'not found'))

  await app.inject('/none')

  expect(warnings).toEqual([expect.stringMatching(/^the handler of GET \(no route\) was declared before/)])
})

it('what is told of happens: a client that hangs up ends the unit while the handler still runs', async () => {
  const seen = Promise.withResolvers<unknown>()
  const entered = Promise.withResolvers<RequestScope>()
  const { app } = await shop((early) => {
    early.get('/', async ({ requestScope: scope }) => {
      user.set('ann')
      entered.resolve(scope)
      while (!scope.sealed) await setImmediate()
      seen.resolve(user.get())
    })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nhost: shop\r\n\r\n')

  await entered.promise
  socket.destroy()

  expect(await seen.promise).toBeUndefined()
})

it('of what loses nothing, nobody is told: other handlers, later routes, and what is not found', async () => {
  const { app, warnings } = await shop((early) => {
    early.get('/early', (_request, reply) => void reply.send('early'))
  })
  app.get('/late', async () => 'late')
  app.setNotFoundHandler(async () => 'not found')

  const answers = await Promise.all(['/early', '/late', '/none'].map((url) => app.inject(url)))

  expect(answers.map(({ body }) => body)).toEqual(['early', 'late', 'not found'])
  expect(warnings).toEqual([])
})
