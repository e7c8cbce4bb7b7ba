import { once } from 'node:events'
import { Agent, type ClientRequest, get, request, type RequestOptions } from 'node:http'
import { createServer as createSecureServer, request as secureRequest } from 'node:https'
import { type AddressInfo, createServer as createRawServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import axios from 'axios'
import got from 'got'
import { instrumentNodeHttp } from 'logical-context/clients/node-http'
import type { OutboundOptions } from 'logical-context/clients/outbound'
import { deadline } from 'logical-context/variables'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { asCaller, propagators, traceparentOf, user } from './caller.ts'
import { certificate } from './certificate.ts'
import { lookup } from './loopback-names.ts'
import { readRequest, type Received, upstream } from './upstream.ts'

/** Stops with the test. */
function injecting(options: OutboundOptions = {}) {
  const injection = instrumentNodeHttp({ propagators, values: ['127.0.0.1', 'api.example.com'], ...options })
  onTestFinished(() => injection.stop())
  return injection
}

/** Sends a request and reads the response. */
async function sent(made: ClientRequest): Promise<string> {
  const replied = once(made, 'response')
  made.end()
  const [response] = await replied
  return text(response)
}

describe('instrumentNodeHttp', () => {
  it('writes trace and request id, and values for the listed hosts', async () => {
    const { url, received } = await upstream()
    injecting()

    const expected = await asCaller(async (trace) => {
      await sent(request(url))
      await sent(get(url.replace('127.0.0.1', 'localhost'), { lookup }))
      return traceparentOf(trace)
    })

    expect(
      received.map(({ headers }) => [headers['traceparent'], headers['x-request-id'], headers['baggage']]),
    ).toEqual([
      [expected, 'request-of-ann', 'tenant=acme,user=ann'],
      [expected, 'request-of-ann', undefined],
    ])
  })

  it('works for https', async () => {
    const received: Received[] = []
    const server = createSecureServer(certificate, (message, response) => {
      void readRequest(message).then((read) => received.push(read))
      response.end()
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    onTestFinished(() => void server.close())
    const { port } = server.address() as AddressInfo
    injecting({ values: [`https://localhost:${port}`] })

    await asCaller(() => sent(secureRequest(`https://localhost:${port}`, { ca: certificate.cert, lookup })))

    expect(received[0]?.headers['baggage']).toBe('tenant=acme,user=ann')
  })

  it('reads the context when a request is made, not when it is sent', async () => {
    const { url, received } = await upstream()
    injecting()

    await asCaller(async () => {
      const made = request(url)
      user.set('bob')
      await sent(made)
    })

    expect(received[0]?.headers['baggage']).toBe('tenant=acme,user=ann')
  })

  it.each<[name: string, headers: RequestOptions['headers'], more?: (made: ClientRequest) => void]>([
    ['given with the request', { Traceparent: 'mine', Baggage: 'a=1' }],
    ['set later', {}, (made) => made.setHeader('Traceparent', 'mine').setHeader('Baggage', 'a=1')],
  ])('keeps headers of the caller, %s, and duplicates none', async (_, headers, more = () => {}) => {
    const { url, received } = await upstream()
    injecting()
    injecting()

    await asCaller(() => {
      const made = request(url, { headers })
      more(made)
      return sent(made)
    })

    const names = ['traceparent', 'baggage', 'x-request-id']
    expect(names.map((name) => received[0]?.lines(name))).toEqual([['mine'], ['a=1'], ['request-of-ann']])
  })

  it('does not change requests that Node wrote already, and counts the refusals', async () => {
    const { url, received } = await upstream()
    const { outbound } = injecting()

    await asCaller(async () => {
      await sent(request(url, { headers: ['Host', 'localhost', 'Accept', 'a/b'] as never }))
      await sent(request(url, { headers: { expect: '100-continue' } }))
    })

    expect(received.map(({ headers }) => headers['traceparent'])).toEqual([undefined, undefined])
    expect(outbound.counters.malformed).toBeGreaterThan(0)
  })

  it('does not change requests outside any unit', async () => {
    const { url, received } = await upstream()
    injecting()

    await sent(request(url))

    expect(received[0]?.headers).not.toHaveProperty('traceparent')
  })

  it('ends when it is stopped, once or twice, or disposed', async () => {
    const { url, received } = await upstream()
    const injection = injecting()
    injection.stop()
    injection.stop()
    {
      using disposed = injecting()
      expect(disposed.outbound).toBeDefined()
    }

    await asCaller(() => sent(request(url)))

    expect(received[0]?.headers).not.toHaveProperty('traceparent')
  })

  describe('matches the host that a request goes to', () => {
    it.each<[name: string, options: RequestOptions, told: boolean]>([
      ['a listed host', { host: 'api.example.com' }, true],
      ['a listed host by hostname', { hostname: 'api.example.com', host: 'evil.test' }, true],
      ['a listed host in another case', { host: 'API.example.com' }, true],
      [
        'a listed host with the Host header of another',
        { host: 'api.example.com', headers: { host: 'evil.test' } },
        true,
      ],
      [
        'another host with the Host header of a listed one',
        { host: 'evil.test', headers: { host: 'api.example.com' } },
        false,
      ],
      ['a host whose name begins with a listed one', { host: 'api.example.com.evil.test' }, false],
      ['a path that is the URL of a listed host', { host: 'evil.test', path: 'http://api.example.com/' }, false],
      ['a path that is the URL of another host', { host: 'api.example.com', path: 'http://evil.test/' }, false],
      ['a listed port', { host: 'ported.test' }, true],
      [
        'a listed port with another one in the Host header',
        { host: 'ported.test', headers: { host: 'ported.test:1' } },
        false,
      ],
      [
        'a listed port with the Host header of another host',
        { host: 'ported.test', headers: { host: 'evil.test' } },
        false,
      ],
      [
        'a listed port with the Host header of another host on that port',
        { host: 'ported.test', headers: { host: 'evil.test:PORT' } },
        false,
      ],
    ])('%s', async (_, options, told) => {
      const { port, received } = await upstream()
      injecting({ values: ['api.example.com', `ported.test:${port}`] })

      const { host } = (options.headers ?? {}) as { host?: string }
      const headers = host === undefined ? {} : { host: host.replace('PORT', String(port)) }
      await asCaller(() => sent(request({ port, lookup, ...options, headers })))

      expect(received[0]?.headers['baggage']).toBe(told ? 'tenant=acme,user=ann' : undefined)
      expect(received[0]?.headers['traceparent']).toBeDefined()
    })

    it.skipIf(process.platform === 'win32')('no host at all at a socket file', async () => {
      const path = join(tmpdir(), `logical-context-${process.pid}.sock`)
      const { createServer } = await import('node:http')
      const received: Received[] = []
      const server = createServer((message, response) => {
        void readRequest(message).then((read) => received.push(read))
        response.end()
      })
      await once(server.listen(path), 'listening')
      onTestFinished(() => void server.close())
      injecting({ values: ['localhost'] })

      await asCaller(() => sent(request({ socketPath: path })))

      expect(received[0]?.headers['baggage']).toBeUndefined()
    })

    it('and writes nothing to a CONNECT', async () => {
      const heads: string[] = []
      const proxy = createRawServer((socket) => {
        socket.once('data', (head) => {
          heads.push(head.toString())
          socket.end('HTTP/1.1 200 OK\r\n\r\n')
        })
      })
      await once(proxy.listen(0, '127.0.0.1'), 'listening')
      onTestFinished(() => void proxy.close())
      const { port } = proxy.address() as AddressInfo
      injecting()

      await asCaller(async () => {
        const made = request({ host: '127.0.0.1', port, method: 'CONNECT', path: 'api.example.com:443' })
        const connected = once(made, 'connect')
        made.end()
        const [, socket] = await connected
        socket.destroy()
      })

      expect(heads[0]).toMatch(/^CONNECT api\.example\.com:443/)
      expect(heads[0]).not.toContain('traceparent')
    })
  })

  it('drops and counts a value that is not a valid header', async () => {
    const { url, received } = await upstream()
    const { outbound } = injecting({
      propagators: [{ fields: ['x-a'], extract: (known) => known, inject: (_, to) => to.set('x-a', 'a\r\nb: c') }],
    })

    await asCaller(() => sent(request(url)))

    expect(received[0]?.headers).not.toHaveProperty('b')
    expect(outbound.counters.malformed).toBe(1)
  })

  it('destroys a request at its deadline, and a later one at once', async () => {
    const { url, received } = await upstream(() => {})
    injecting()
    const within = (ms: number) =>
      asCaller(() => {
        deadline.set(Date.now() + ms)
        return sent(request(`${url}/reserve?token=secret`))
      })

    await expect(within(30)).rejects.toMatchObject({ name: 'TimeoutError', code: 'LCTX_TIMEOUT' })
    await expect(within(-1)).rejects.toThrow('GET http://127.0.0.1/reserve')
    expect(received).toHaveLength(1)
  })

  it('ends the reading of a body at the deadline, also if the request has no listener any more', async () => {
    const { url } = await upstream((_, response) => void response.writeHead(200).write('half'))
    injecting()

    const reading = asCaller(() => {
      deadline.set(Date.now() + 60)
      return sent(request(url))
    })

    await expect(reading).rejects.toMatchObject({ name: 'TimeoutError', code: 'LCTX_TIMEOUT' })
  })

  it('clears the timer of the deadline when the request ends', async () => {
    const { url } = await upstream()
    injecting()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())

    await asCaller(async () => {
      deadline.set(Date.now() + 60_000)
      const made = request(url, { agent: new Agent() })
      const closed = once(made, 'close')
      await sent(made)
      await closed
    })

    expect(vi.getTimerCount()).toBe(0)
  })

  it('throws a TypeError for an unknown option', () => {
    expect(() => instrumentNodeHttp({ value: [] } as never)).toThrow(TypeError)
    expect(() => instrumentNodeHttp({ value: [] } as never)).toThrow("instrumentNodeHttp: unknown option 'value'")
  })
})

describe.each<[name: string, call: (url: string, agent: Agent, headers?: Record<string, string>) => Promise<unknown>]>([
  ['axios', (url, httpAgent, headers = {}) => axios.get(url, { httpAgent, headers, proxy: false })],
  ['got', (url, agent, headers = {}) => got(url, { agent: { http: agent }, headers, dnsLookup: lookup })],
])('%s, with instrumentNodeHttp', (_, call) => {
  const agentOf = (maxSockets = Number.POSITIVE_INFINITY) => {
    const agent = new Agent({ keepAlive: true, maxSockets, lookup })
    onTestFinished(() => agent.destroy())
    return agent
  }

  it('sends the values of its caller', async () => {
    const { url, received } = await upstream()
    injecting()

    await asCaller(() => call(url, agentOf(), { baggage: 'mine=1' }))

    expect(received[0]?.headers['x-request-id']).toBe('request-of-ann')
    expect(received[0]?.lines('baggage')).toEqual(['mine=1'])
  })

  it('sends each hop of a redirect what its host may receive', async () => {
    const server = await upstream(({ path }, response) => {
      const next = { '/': 'evil.test', '/1': 'api.example.com.evil.test', '/2': 'api.example.com' }[path]
      if (next === undefined) response.end('arrived')
      else response.writeHead(302, { location: `http://${next}:${server.port}/${Number(path.slice(1)) + 1}` }).end()
    })
    injecting()

    await asCaller(() => call(`http://api.example.com:${server.port}/`, agentOf()))

    expect(server.received.map(({ host, headers }) => [host.split(':')[0], headers['baggage']])).toEqual([
      ['api.example.com', 'tenant=acme,user=ann'],
      ['evil.test', undefined],
      ['api.example.com.evil.test', undefined],
      ['api.example.com', 'tenant=acme,user=ann'],
    ])
    expect(server.received.every(({ headers }) => headers['x-request-id'] === 'request-of-ann')).toBe(true)
  })

  it('sends the values of its own caller, for forty calls on one socket, also after a redirect', async () => {
    const { url, received } = await upstream(({ path }, response) => {
      if (path.startsWith('/from')) response.writeHead(302, { location: path.replace('from', 'to') })
      setTimeout(() => response.end(), 1)
    })
    injecting()
    const agent = agentOf(1)

    await Promise.all(
      Array.from({ length: 40 }, (_unused, i) => asCaller(() => call(`${url}/from/${i}`, agent), `caller-${i}`)),
    )

    const crossed = received.filter(
      ({ path, headers }) => headers['baggage'] !== `tenant=acme,user=caller-${path.split('/')[2]}`,
    )
    expect(crossed.map(({ path, headers }) => [path, headers['baggage']])).toEqual([])
    expect(received).toHaveLength(80)
  })
})
