import { Readable } from 'node:stream'
import websocket from '@fastify/websocket'
import { spawn } from 'logical-context'
import { requestId } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import type { Client } from './shutdown-client.ts'
import { limitIsOverMs, limitMs, Shop, wholeBody } from './shutdown-shop.ts'

const never = new Promise<never>(() => {})
const upgrade = [
  'connection: upgrade',
  'upgrade: websocket',
  'sec-websocket-version: 13',
  `sec-websocket-key: ${btoa('0123456789abcdef')}`,
]

/** What delays a close: what the server does, and how the client begins. */
type Obstacle = [
  name: string,
  route: string,
  serve: (shop: Shop) => unknown,
  begin: (client: Client, begun: Promise<void>) => Promise<void>,
]

const obstacles: Obstacle[] = [
  [
    'an upload that never ends',
    'POST /',
    ({ app }) => app.post('/', async () => 'ok'),
    async ({ socket }) => {
      socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 8\r\n\r\nslow')
    },
  ],
  [
    'a reader that never reads',
    'GET /',
    ({ app }) => app.get('/', async () => wholeBody),
    async (client) => {
      client.ask('/')
      await client.hears('x')
      client.socket.pause()
    },
  ],
  [
    'a stream that is returned',
    'GET /',
    ({ app }) => app.get('/', async () => Readable.from(endless())),
    async (client) => {
      client.ask('/')
      await client.hears('data')
    },
  ],
  [
    'a stream that is hijacked',
    'GET /',
    ({ app }) =>
      app.get('/', (_request, reply) => {
        reply.hijack()
        Readable.from(endless()).pipe(reply.raw)
      }),
    async (client) => {
      client.ask('/')
      await client.hears('data')
    },
  ],
  [
    'a WebSocket whose client does not answer',
    'GET /',
    async ({ app }) => {
      await app.register(websocket)
      app.get('/', { websocket: true }, (socket) => socket.send('hello'))
    },
    async (client) => {
      client.ask('/', ...upgrade)
      await client.hears('hello')
    },
  ],
  ['a handler that never settles', 'GET /', ({ app }) => app.get('/', () => never), async (client) => client.ask('/')],
  [
    'a handler that never settles, of a client that has gone',
    'GET /',
    ({ app }) => app.get('/', () => never),
    async (client, begun) => {
      client.ask('/')
      await begun
      client.socket.destroy()
    },
  ],
]

async function* endless(): AsyncGenerator<string> {
  yield 'data: 1\n\n'
  await never
}

describe("logicalContext's close at its limit", () => {
  it.each(obstacles)('is not stopped by %s', async (_name, route, serve, begin) => {
    const shop = await Shop.open(limitMs)
    const begun = Promise.withResolvers<void>()
    shop.app.addHook('onRequest', async () => begun.resolve())
    await serve(shop)
    const client = await shop.dial()
    await begin(client, begun.promise)
    await begun.promise

    const elapsedMs = await shop.close()

    client.socket.resume()
    await client.closed
    expect(elapsedMs).toBeGreaterThan(limitMs - 2)
    expect(elapsedMs).toBeLessThan(limitIsOverMs)
    expect(shop.left).toEqual([route])
  })

  it('aborts requests and tasks with the same reason, and sends the replies of these requests', async () => {
    const shop = await Shop.open(limitMs)
    const reasons: unknown[] = []
    const begun = Promise.withResolvers<void>()
    shop.app.get('/orders/:id', async ({ requestScope: scope }) => {
      spawn(async ({ signal }) => void reasons.push(await reasonOf(signal)), { name: 'mine', cancelWith: 'request' })
      spawn(async ({ signal }) => void reasons.push(await reasonOf(signal)), { name: 'background' })
      begun.resolve()
      reasons.push(await reasonOf(scope.signal))
      return 'stopped'
    })
    const client = await shop.dial()
    client.ask('/orders/7', 'x-request-id: r-7')
    await begun.promise

    await shop.close()
    await client.closed

    expect(client.heard).toMatch(/^HTTP\/1.1 200 OK\r\nconnection: close\r\n[^]*stopped$/)
    expect(reasons).toHaveLength(3)
    expect(reasons.every((reason) => (reason as { code?: string }).code === 'LCTX_ABANDONED')).toBe(true)
    const [report] = shop.reports
    expect(report?.finished).toBe(0)
    expect(report?.unfinished.map(({ name, ended, context }) => [name, ended, context.get(requestId)])).toEqual([
      ['mine', true, 'r-7'],
      ['background', true, 'r-7'],
    ])
    expect(report?.unfinishedRequests.map(({ name, ended, context }) => [name, ended, context.get(requestId)])).toEqual(
      [['GET /orders/:id', true, 'r-7']],
    )
  })

  it('distinguishes what ended in its grace from what still runs, and counts what ended before', async () => {
    const shop = await Shop.open(limitMs)
    shop.app.get('/', async () => {
      spawn(async () => {}, { name: 'quick' })
      spawn(() => never, { name: 'stuck' })
      spawn(async ({ signal }) => void (await reasonOf(signal)), { name: 'obedient' })
      return 'ok'
    })
    await shop.app.inject('/')
    shop.app.requestScopes.group.spawn(() => new Promise((resolve) => setTimeout(resolve, 20)), { name: 'slow' })

    const elapsedMs = await shop.close()

    expect(elapsedMs).toBeLessThan(limitIsOverMs)
    expect(shop.reports[0]?.finished).toBe(1)
    expect(shop.reports[0]?.unfinished.map(({ name, ended }) => [name, ended])).toEqual([
      ['stuck', false],
      ['obedient', true],
    ])
  })

  it('logs what was left, by name and request id, also with onDrained', async () => {
    const lines: Record<string, unknown>[] = []
    const stream = { write: (line: string) => lines.push(JSON.parse(line)) }
    const shop = await Shop.open(limitMs, { logger: { stream } })
    const begun = Promise.withResolvers<void>()
    shop.app.get('/', () => {
      spawn(() => never, { name: 'stuck' })
      begun.resolve()
      return never
    })
    const client = await shop.dial()
    client.ask('/', 'x-request-id: r-1')
    await begun.promise

    await shop.close()

    expect(lines.slice(lines.findIndex(({ msg }) => msg === 'server drained'))).toMatchObject([
      { level: 30, finished: 0, unfinished: 1, unfinished_requests: 1, elapsedMs: expect.any(Number) },
      { level: 40, msg: "task 'stuck' had not finished when the server closed", request_id: 'r-1', ended: false },
      { level: 40, msg: "request 'GET /' had not finished when the server closed", request_id: 'r-1', ended: false },
    ])
    expect(shop.reports).toHaveLength(1)
  })

  it('takes no more tasks: a spawn throws, and nothing is lost without an error', async () => {
    const shop = await Shop.open(limitMs)
    const begun = Promise.withResolvers<void>()
    shop.app.get('/', async ({ requestScope: scope }) => {
      begun.resolve()
      await reasonOf(scope.signal)
      spawn(() => {}, { name: 'too-late' })
      return 'acknowledged'
    })
    const client = await shop.dial()
    client.ask('/')
    await begun.promise

    await shop.close()
    await client.closed

    expect(client.heard).toMatch(/^HTTP\/1.1 500 [^]*LCTX_GROUP_CLOSED/)
  })

  it('ends a chain of tasks that each spawn the next, and names the last', async () => {
    const errors: unknown[] = []
    const shop = await Shop.open(limitMs, { plugin: { onError: (error) => errors.push(error) } })
    const next = async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, 1))
      spawn(next, { name: 'next' })
    }
    shop.app.get('/', async () => void spawn(next, { name: 'first' }))
    await shop.app.inject('/')

    const elapsedMs = await shop.close()

    expect(elapsedMs).toBeLessThan(limitIsOverMs)
    expect(shop.reports[0]?.unfinished.map(({ name, ended }) => [name, ended])).toEqual([['next', true]])
    expect(errors).toMatchObject([{ code: 'LCTX_GROUP_CLOSED' }])
  })
})

function reasonOf(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(signal.reason), { once: true })
  })
}
