import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { describe, expect, it, onTestFinished } from 'vitest'
import { limitIsOverMs, limitMs, longMs, Shop, soonMs, wholeBody } from './shutdown-shop.ts'

// The types of a Fastify server do not say that one option makes it another.
const http2 = { http2: true } as object

async function dial(shop: Shop): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${await shop.listen()}`)
  session.on('error', () => {})
  onTestFinished(() => session.destroy())
  await once(session, 'remoteSettings')
  return session
}

function ask(session: ClientHttp2Session, path: string): ClientHttp2Stream {
  return session.request({ ':path': path }).setEncoding('latin1')
}

/** The whole reply, or what went wrong. */
async function replyTo(stream: ClientHttp2Stream): Promise<string> {
  let text = ''
  stream.on('data', (chunk: string) => (text += chunk))
  await once(stream, 'end')
  return text
}

describe("logicalContext's close on HTTP/2", () => {
  it('ends idle sessions at once, and the others with their last reply', async () => {
    const shop = await Shop.open(longMs, http2)
    const gate = shop.gate()
    shop.app.get('/', async () => 'ok')
    const idle = await dial(shop)
    await replyTo(ask(idle, '/'))
    const silent = await dial(shop)
    const busy = await dial(shop)
    const reply = replyTo(ask(busy, '/gate'))
    await gate.entered

    const { closed } = await shop.beginClose()
    await Promise.all([once(idle, 'close'), once(silent, 'close'), once(busy, 'goaway')])
    await expect.poll(() => busy.closed).toBe(true)
    await expect(async () => replyTo(ask(busy, '/'))).rejects.toMatchObject({ code: 'ERR_HTTP2_GOAWAY_SESSION' })
    gate.open()

    expect(await reply).toBe('whole')
    expect(await closed).toBeLessThan(soonMs)
    expect(shop.left).toEqual([])
  })

  it('answers a client that comes during it, and ends its session', async () => {
    const shop = await Shop.open(longMs, http2)
    const gate = shop.gate()
    const busy = await dial(shop)
    const reply = replyTo(ask(busy, '/gate'))
    await gate.entered

    const { closed } = await shop.beginClose()
    const late = await dial(shop)
    const stream = ask(late, '/gate').resume()
    const [[headers]] = await Promise.all([once(stream, 'response'), once(late, 'close')])
    gate.open()

    expect(headers[':status']).toBe(503)
    expect(await reply).toBe('whole')
    expect(await closed).toBeLessThan(soonMs)
  })

  it('sends a slow reader its whole reply', async () => {
    const shop = await Shop.open(longMs, http2)
    shop.app.get('/', async () => wholeBody)
    const session = await dial(shop)
    const stream = ask(session, '/')
    await once(stream, 'response')

    const { closed } = await shop.beginClose()

    expect((await replyTo(stream)) === wholeBody).toBe(true)
    expect(await closed).toBeLessThan(soonMs)
  })

  it.each<[name: string, serve: () => Promise<string>]>([
    ['a handler that never settles', () => new Promise(() => {})],
    ['a reader that never reads', async () => wholeBody],
  ])('is not stopped at its limit by %s', async (_name, serve) => {
    const shop = await Shop.open(limitMs, http2)
    const begun = Promise.withResolvers<void>()
    shop.app.addHook('onRequest', async () => begun.resolve())
    shop.app.get('/', serve)
    const session = await dial(shop)
    const gone = once(session, 'close')
    const stream = ask(session, '/')
    stream.on('error', () => {})
    await begun.promise

    const elapsedMs = await shop.close()

    await gone
    expect(elapsedMs).toBeGreaterThan(limitMs - 2)
    expect(elapsedMs).toBeLessThan(limitIsOverMs)
    expect(shop.left).toEqual(['GET /'])
  })
})
