import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import Fastify from 'fastify'
import logicalContext from 'logical-context/middleware/fastify'
import { describe, expect, it } from 'vitest'
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
})
