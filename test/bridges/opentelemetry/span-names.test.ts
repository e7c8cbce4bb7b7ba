import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyServerOptions } from 'fastify'
import type { RequestScope } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import { setUpSdk } from './sdk.ts'

/** The names of the units that open and end while the test runs. */
function unitNames(): Set<string> {
  const names = new Set<string>()
  const note = (message: unknown) => void names.add((message as { scope: RequestScope }).scope.name)
  for (const event of ['open', 'close', 'seal']) {
    subscribe(`logical-context:scope:${event}`, note)
    onTestFinished(() => void unsubscribe(`logical-context:scope:${event}`, note))
  }
  return names
}

const answer = (app: FastifyInstance) => {
  app.addHook('onRequest', (_request, reply) => void reply.code(401).send('no'))
}

interface Case {
  readonly path: string
  readonly options?: FastifyServerOptions
  /** Registered before the plugin. */
  readonly before?: (app: FastifyInstance) => void
  /** Undefined if Fastify answers before it opens a unit. */
  readonly name: string | undefined
}

const secret = 's3cr3t'

describe('the name of a request and of its span', () => {
  it.each<[name: string, Case]>([
    ['a route', { path: `/orders/7?token=${secret}`, name: 'GET /orders/:id' }],
    ['a URL that cannot be decoded', { path: `/%zz?token=${secret}`, name: undefined }],
    [
      'a URL that cannot be decoded, answered by the program',
      {
        path: `/orders/%E0%A4%A?token=${secret}`,
        options: { frameworkErrors: (_error, _request, reply: FastifyReply) => void reply.code(400).send('bad') },
        name: 'GET (no route)',
      },
    ],
    ['a path without a route', { path: `/${secret}?token=${secret}`, name: 'GET (no route)' }],
    [
      'a request that an earlier hook answers',
      { path: `/orders/7?token=${secret}`, before: answer, name: 'GET /orders/:id' },
    ],
    [
      'a query after a semicolon',
      {
        path: `/orders/7;token=${secret}`,
        options: { useSemicolonDelimiter: true },
        name: 'GET /orders/:id',
      },
    ],
    ['a fragment', { path: `/orders/7#token=${secret}`, name: 'GET /orders/:id' }],
  ])('is the route, or the method alone, for %s', async (_case, { path, options, before, name }) => {
    const { spans } = setUpSdk({ requestSpans: true })
    const names = unitNames()
    const app = Fastify(options)
    before?.(app)
    await app.register(logicalContext)
    app.get('/orders/:id', () => 'ok')
    await app.listen({ port: 0, host: '127.0.0.1' })
    onTestFinished(() => app.close())

    const call = http.get({ port: (app.server.address() as AddressInfo).port, host: '127.0.0.1', path, agent: false })
    const [response] = (await once(call, 'response')) as [http.IncomingMessage]
    await once(response.resume(), 'end')
    await app.close()

    expect(spans().map((span) => span.name)).toEqual(name === undefined ? [] : [name])
    expect([...names].at(-1)).toBe(name)
    for (const shown of names) expect(['GET', name]).toContain(shown)
    const { attributes, events, status } = spans()[0] ?? {}
    const { 'url.path': urlPath, ...others } = attributes ?? {}
    expect(JSON.stringify([others, events, status])).not.toContain(secret)
    expect(String(urlPath)).not.toContain('token')
  })
})
