import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'
import { describe, expect, it, onTestFinished } from 'vitest'
import { longMs, Shop, soonMs, wholeBody } from './shutdown-shop.ts'

/** TLS without certificates: both sides have the key. */
const key = Buffer.alloc(16, 7)
const tls = { ciphers: 'PSK', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const
const https = { https: { ...tls, pskCallback: () => key } } as object

async function dial(shop: Shop): Promise<TLSSocket> {
  const socket = connect({
    ...tls,
    port: await shop.listen(),
    host: '127.0.0.1',
    pskCallback: () => ({ psk: key, identity: 'client' }),
    checkServerIdentity: () => undefined,
  })
  socket.setEncoding('latin1').on('error', () => {})
  onTestFinished(() => void socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

describe("logicalContext's close on TLS", () => {
  it('ends connections that are idle, that are silent, and that have not even greeted', async () => {
    const shop = await Shop.open(longMs, https)
    shop.app.get('/', async () => 'ok')
    const idle = await dial(shop)
    idle.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await once(idle, 'data')
    const silent = await dial(shop)
    const accepted = once(shop.app.server, 'connection')
    const strange = await shop.dial()
    await accepted
    const gone = Promise.all([once(idle.resume(), 'close'), once(silent.resume(), 'close'), strange.closed])

    expect(await shop.close()).toBeLessThan(soonMs)
    await gone
  })

  it('sends a slow reader its whole reply', async () => {
    const shop = await Shop.open(longMs, https)
    shop.app.get('/', async () => wholeBody)
    const client = await dial(shop)
    client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    let [heard] = (await once(client, 'data')) as [string]
    client.pause()

    const { closed } = await shop.beginClose()
    client.on('data', (chunk: string) => (heard += chunk)).resume()
    await once(client, 'close')

    expect(heard.endsWith(wholeBody)).toBe(true)
    expect(await closed).toBeLessThan(soonMs)
  })
})
