import { once } from 'node:events'
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { inspector, inspectorHandler } from 'logical-context/inspector'
import logicalContext from 'logical-context/middleware/fastify'
import { describe, expect, it, onTestFinished, vi } from 'vitest'

interface Answer {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

interface Served {
  readonly url: string
  close(): Promise<void>
}

async function plainHandler(): Promise<Served> {
  const handler = inspectorHandler({ service: 'shop' })
  const server = createServer(handler)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      handler.close()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function fastifyPlugin(): Promise<Served> {
  const app = Fastify({ http2: true })
  await app.register(logicalContext, { drainTimeoutMs: 2000 })
  await app.register(inspector, { service: 'shop' })
  app.get('/order', () => 'sold')
  return { url: await app.listen({ host: '127.0.0.1', port: 0 }), close: () => app.close() }
}

/** Sends a request of a session. */
async function ask(session: ClientHttp2Session, headers: OutgoingHttpHeaders): Promise<Answer> {
  const stream = session.request({ ':path': '/__context/', ...headers })
  stream.end()
  const [answered] = (await once(stream, 'response')) as [IncomingHttpHeaders]
  let body = ''
  stream.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
  await once(stream, 'close')
  return { headers: answered, body }
}

describe.each([
  ['the Fastify plugin', fastifyPlugin],
  ['the plain handler', plainHandler],
])('%s of the inspector, over HTTP/2', (_, serve) => {
  it('serves the page, its files and its events until the close', async () => {
    const failures: unknown[] = []
    const onFailure = (error: unknown) => void failures.push(error)
    process.on('uncaughtException', onFailure)
    onTestFinished(() => void process.off('uncaughtException', onFailure))
    const { url, close } = await serve()
    const session = connect(url)
    onTestFinished(() => session.destroy())
    const { host } = new URL(url)

    const answers = [
      await ask(session, {}),
      await ask(session, { ':path': '/__context' }),
      await ask(session, { ':path': '/__context/page.js' }),
      await ask(session, { ':method': 'HEAD' }),
      await ask(session, { ':method': 'HEAD', ':path': '/__context/events' }),
      await ask(session, { ':authority': 'evil.example' }),
      await ask(session, { ':authority': host, 'x-forwarded-for': '203.0.113.1' }),
    ]
    const events = session.request({ ':path': '/__context/events' })
    let text = ''
    events.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    await vi.waitUntil(() => text.includes('event: status'))
    const ended = once(events, 'end')
    const closed = close()
    await ended
    session.close()
    await closed

    expect(answers.map(({ headers }) => headers[':status'])).toEqual([200, 302, 200, 200, 200, 403, 403])
    expect(answers[0]?.headers['content-security-policy']).toMatch(/^default-src 'none'/)
    expect(answers[1]?.headers.location).toBe('__context/')
    expect([answers[0]?.body.includes('page.js'), answers[3]?.body]).toEqual([true, ''])
    expect(failures).toEqual([])
  })

  it('survives a page that disconnects', async () => {
    const { url, close } = await serve()
    const [first, second] = [connect(url), connect(url)]
    onTestFinished(() => [first, second].forEach((session) => session.destroy()))
    const events = first.request({ ':path': '/__context/events' })
    await once(events, 'response')

    first.destroy()
    const answer = await ask(second, {})
    second.close()
    await close()

    expect(answer.headers[':status']).toBe(200)
  })
})
