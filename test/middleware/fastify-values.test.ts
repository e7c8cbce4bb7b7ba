import Fastify, { type FastifyInstance } from 'fastify'
import { ContextVar, LogicalContext } from 'logical-context'
import logicalContext, { type LogicalContextOptions } from 'logical-context/middleware/fastify'
import { sendRequest } from 'logical-context/testing'
import { requestId } from 'logical-context/variables'
import { describe, expect, it, onTestFinished } from 'vitest'

const tenant = new ContextVar<string>('tenant')

async function open(values: LogicalContextOptions['values']): Promise<FastifyInstance> {
  const app = Fastify()
  onTestFinished(() => app.close())
  await app.register(logicalContext, { values })
  app.addHook('onRequest', async (_request, reply) => void reply.header('x-seen', tenant.get() ?? 'none'))
  app.get('/', async () => ({ tenant: tenant.get() ?? null }))
  return app
}

describe("the option 'values' of the Fastify plugin", () => {
  it('sets the values that a unit starts with, before the hooks', async () => {
    const app = await open(({ headers }) => LogicalContext.empty.with(tenant, String(headers['x-tenant'])))

    const replies = await Promise.all(
      ['acme', 'globex'].map((name) => app.inject({ url: '/', headers: { 'x-tenant': name } })),
    )

    expect(replies.map((reply) => [reply.headers['x-seen'], reply.json()])).toEqual([
      ['acme', { tenant: 'acme' }],
      ['globex', { tenant: 'globex' }],
    ])
  })

  it('is called in the unit, once for each request, and may return undefined', async () => {
    const ids: unknown[] = []
    const app = await open(() => void ids.push(requestId.get()))

    const reply = await app.inject('/')

    expect(ids).toEqual([reply.headers['x-request-id']])
    expect(reply.json()).toEqual({ tenant: null })
  })

  it('keeps the values that a test sends', async () => {
    const app = await open(() => LogicalContext.empty.with(tenant, 'from the token'))

    const reply = await sendRequest(app, { values: LogicalContext.empty.with(tenant, 'of the test') })

    expect(await reply.json()).toEqual({ tenant: 'of the test' })
  })

  it.each<[name: string, values: () => unknown, message: string]>([
    [
      'throws',
      () => {
        throw new Error('no tenant')
      },
      'no tenant',
    ],
    ['returns something else', () => ({ tenant: 'acme' }), 'expected to return a LogicalContext'],
    ['returns a promise', () => Promise.reject(new Error('late')), 'expected to return a LogicalContext'],
  ])('fails the request if it %s', async (_, values, message) => {
    const app = await open(values as never)

    const reply = await app.inject('/')

    expect([reply.statusCode, reply.json<{ message: string }>().message]).toEqual([
      500,
      expect.stringContaining(message),
    ])
  })

  it('refuses an async function at the registration', async () => {
    await expect(open((async () => {}) as never)).rejects.toThrow("option 'values' expected a synchronous function")
  })

  it('logs a failure if an earlier hook has replied', async () => {
    const lines: string[] = []
    const app = Fastify({ logger: { stream: { write: (line: string) => void lines.push(line) } } })
    onTestFinished(() => app.close())
    app.addHook('onRequest', async (_request, reply) => reply.code(401).send('no'))
    await app.register(logicalContext, {
      values() {
        throw new Error('planted')
      },
    })
    app.get('/', async () => ({}))

    const reply = await app.inject('/')

    expect(reply.statusCode).toBe(401)
    expect(lines.filter((line) => line.includes('planted'))).toHaveLength(1)
  })
})
