import { once } from 'node:events'
import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import websocket from '@fastify/websocket'
import { WebSocket } from 'undici'
import { describe, expect, it } from 'vitest'
import { longMs, Shop, soonMs, wholeBody } from './shutdown-shop.ts'

describe("logicalContext's close", () => {
  it('ends idle connections at once, and the others with their reply', async () => {
    const shop = await Shop.open(longMs)
    const gate = shop.gate()
    shop.app.get('/', async () => 'ok')
    const idle = await shop.dial()
    idle.ask('/')
    await idle.hears('ok')
    const busy = await shop.dial()
    busy.ask('/gate')
    await gate.entered

    const { closed } = await shop.beginClose()
    await idle.closed
    gate.open()
    await busy.closed

    expect(busy.heard).toMatch(/^HTTP\/1.1 200 OK\r\nconnection: close\r\n[^]*whole$/i)
    expect(await closed).toBeLessThan(soonMs)
    expect(shop.left).toEqual([])
  })

  it('sends both of two pipelined replies', async () => {
    const shop = await Shop.open(longMs)
    const [first, second] = [shop.gate('/first'), shop.gate('/second')]
    const client = await shop.dial()
    client.ask('/first')
    client.ask('/second')
    await Promise.all([first.entered, second.entered])

    const { closed } = await shop.beginClose()
    first.open()
    await client.hears('whole')
    second.open()
    await client.closed

    expect(client.heard.split('whole')).toEqual([
      expect.stringMatching(/^HTTP\/1.1 200 OK\r\n[^]*connection: keep-alive/i),
      expect.stringMatching(/^HTTP\/1.1 200 OK\r\nconnection: close/i),
      '',
    ])
    expect(await closed).toBeLessThan(soonMs)
  })

  it('sends the second of two pipelined replies after the first', async () => {
    const shop = await Shop.open(longMs)
    const [first, second] = [shop.gate('/first'), shop.gate('/second')]
    const client = await shop.dial()
    client.ask('/first')
    client.ask('/second')
    await Promise.all([first.entered, second.entered])
    first.open()
    await client.hears('whole')

    const { closed } = await shop.beginClose()
    second.open()
    await client.closed

    expect(client.heard).toMatch(/whole[^]*whole$/)
    expect(await closed).toBeLessThan(soonMs)
  })

  it('is not held up by a connection that has never spoken, nor for long by half a request', async () => {
    const shop = await Shop.open(longMs)
    const half = await shop.dial()
    await shop.hears(half, 'GET / HTTP/1.1\r\nhost')
    const silent = await shop.dial()
    const now = () => performance.now()

    const [elapsedMs, halfIsGone, silentIsGone] = await Promise.all([
      shop.close(),
      half.closed.then(now),
      silent.closed.then(now),
    ])

    expect(elapsedMs).toBeLessThan(soonMs)
    expect(halfIsGone - silentIsGone).toBeGreaterThan(100)
  })

  it('answers half a request that is completed meanwhile, if it is not refused', async () => {
    const shop = await Shop.open(longMs, { return503OnClosing: false })
    const gate = shop.gate()
    const client = await shop.dial()
    await shop.hears(client, 'GET /gate HTTP/1.1\r\nhost')

    const { closed } = await shop.beginClose()
    client.socket.write(': x\r\n\r\n')
    await gate.entered
    // Longer than a connection without a request would be left alone.
    setTimeout(gate.open, 700)
    await client.closed

    expect(client.heard).toMatch(/^HTTP\/1.1 200 OK\r\nconnection: close\r\n[^]*whole$/i)
    expect(await closed).toBeLessThan(soonMs)
  })

  it("waits for a request that has not come to the plugin's own hook", async () => {
    const [entered, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const shop = await Shop.open(longMs, {
      before: (app) =>
        app.addHook('onRequest', async () => {
          entered.resolve()
          await go.promise
        }),
    })
    shop.app.get('/', async () => 'whole')
    const client = await shop.dial()
    client.ask('/')
    await entered.promise

    const { closed } = await shop.beginClose()
    // Longer than a connection without a request would be left alone.
    setTimeout(go.resolve, 700)
    await client.closed

    expect(client.heard).toMatch(/^HTTP\/1.1 200 OK\r\nconnection: close\r\n[^]*whole$/i)
    expect(await closed).toBeLessThan(soonMs)
  })

  it('is not held up by a request that was handed to the server once more', async () => {
    const shop = await Shop.open(longMs)
    shop.app.get('/here', async (request, reply) => {
      reply.hijack()
      request.raw.url = '/there'
      shop.app.server.emit('request', request.raw, reply.raw)
    })
    shop.app.get('/there', async () => 'there')
    const client = await shop.dial()
    client.ask('/here')
    await client.hears('there')

    const { closed } = await shop.beginClose()

    expect(await closed).toBeLessThan(soonMs)
    expect(shop.left).toEqual([])
  })

  it('waits for the end of a slow upload', async () => {
    const shop = await Shop.open(longMs)
    const entered = Promise.withResolvers<void>()
    shop.app.addHook('preParsing', async () => entered.resolve())
    shop.app.post('/', async (request) => `got ${String(request.body)}`)
    const client = await shop.dial()
    client.socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 8\r\n\r\nslow')
    await entered.promise

    const { closed } = await shop.beginClose()
    client.socket.write('poke')
    await client.closed

    expect(client.heard).toMatch(/got slowpoke$/)
    expect(await closed).toBeLessThan(soonMs)
  })

  it.each<[name: string, options: object]>([
    ['Fastify has made', {}],
    ['comes from a factory', { serverFactory: createServer }],
  ])('sends a slow reader its whole reply, where the server %s', async (_name, options) => {
    const shop = await Shop.open(longMs, options)
    shop.app.get('/', async () => wholeBody)
    const client = await shop.dial()
    client.ask('/')
    await client.hears('x')
    client.socket.pause()

    const { closed } = await shop.beginClose()
    client.socket.resume()
    await client.closed

    expect(client.heard.endsWith(`\r\n\r\n${wholeBody}`)).toBe(true)
    expect(await closed).toBeLessThan(soonMs)
  })

  it.each(['returned', 'hijacked'])(
    'waits until hooks that were added later have ended a stream that is %s',
    async (kind) => {
      const shop = await Shop.open(longMs)
      const stream = new Readable({ read: () => {} })
      stream.push('data: hello\n\n')
      shop.app.get('/events', async (_request, reply) => {
        if (kind === 'returned') return stream
        reply.hijack()
        reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
        return stream.pipe(reply.raw)
      })
      await shop.app.register(async (child) => {
        child.addHook('preClose', async () => void stream.push(null))
      })
      const client = await shop.dial()
      client.ask('/events')
      await client.hears('hello')

      expect(await shop.close()).toBeLessThan(soonMs)
      await client.closed
      expect(client.heard.endsWith('\r\n0\r\n\r\n')).toBe(true)
      expect(shop.left).toEqual([])
    },
  )

  it.each([true, false])(
    'waits for the closing handshake of @fastify/websocket, registered before it: %s',
    async (before) => {
      const shop = await Shop.open(longMs, { before: (app) => before && app.register(websocket) })
      if (!before) await shop.app.register(websocket)
      shop.app.get('/ws', { websocket: true }, (socket) => socket.send('hello'))
      const client = new WebSocket(`ws://127.0.0.1:${await shop.listen()}/ws`)
      const goodbye = once(client, 'close')
      await once(client, 'message')

      expect(await shop.close()).toBeLessThan(soonMs)
      expect(await goodbye).toMatchObject([{ wasClean: true }])
      expect(shop.left).toEqual([])
    },
  )
})
