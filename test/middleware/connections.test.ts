import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import Fastify from 'fastify'
import logicalContext from 'logical-context/middleware/fastify'
import nodeHttp from 'logical-context/middleware/node-http'
import { describe, expect, it } from 'vitest'
import { Connections } from '../../src/middleware/connections.ts'
import { isCollected } from '../flow/memory.ts'

describe('a connection of a server', () => {
  it('is not kept after it closed', { timeout: 30_000 }, async () => {
    const app = Fastify()
    await app.register(logicalContext)
    app.get('/', async () => 'ok')
    const sockets: WeakRef<Socket>[] = []
    app.server.on('connection', (socket) => void sockets.push(new WeakRef(socket)))
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo

    for (let i = 0; i < 3; i++) {
      const client = connect(port, '127.0.0.1')
      client.end('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n').resume()
      await once(client, 'close')
    }

    expect(await Promise.all(sockets.map(isCollected))).toEqual([true, true, true])
    await app.close()
  })

  it('is tracked by each of two trackers of a server', async () => {
    const [asked, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const listener = nodeHttp(async (_request, response) => {
      asked.resolve()
      await go.promise
      response.end('ok')
    })
    const server = createServer(listener)
    const trackers = [1, 2].map(() => new Connections({ onResponseClosed() {}, onResponseLost() {} }))
    for (const tracker of trackers) tracker.watch(server)
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const reply = fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    await asked.promise

    expect(trackers.map(({ replies }) => replies)).toEqual([1, 1])
    const sent = Promise.all(trackers.map((tracker) => tracker.nextReply()))
    go.resolve()
    expect(await (await reply).text()).toBe('ok')
    await sent
    expect(trackers.map(({ replies }) => replies)).toEqual([0, 0])
    server.close()
  })
})
