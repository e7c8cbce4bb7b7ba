import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { AsyncResource } from 'node:async_hooks'
import * as undici8 from 'undici'
import * as undici7 from 'undici7'
import { undiciInterceptor, type UndiciInterceptorOptions } from 'logical-context/clients/undici'
import { deadline } from 'logical-context/variables'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { asCaller, propagators, tenant, traceparentOf, user } from './caller.ts'
import { certificate } from './certificate.ts'
import { lookup } from './loopback-names.ts'
import { startProxy } from './proxy.ts'
import { upstream } from './upstream.ts'

/** Both have the same form as far as it is used here. */
const versions: [name: string, undici: typeof undici8][] = [
  ['undici 8', undici8],
  ['undici 7', undici7 as never],
]

describe.each(versions)('undiciInterceptor of %s', (_, undici) => {
  const agent = (options: object = {}) => {
    const made = new undici.Agent({ connect: { lookup }, ...options })
    onTestFinished(() => made.destroy())
    return made
  }
  const toLoopback = (options: UndiciInterceptorOptions = {}) =>
    undiciInterceptor({ propagators, values: ['127.0.0.1'], ...options })

  it('sends trace and request id, and values to the listed hosts', async () => {
    const { url, received } = await upstream()
    const open = agent().compose(undiciInterceptor({ propagators }))
    const closed = agent().compose(toLoopback())

    const expected = await asCaller(async (trace) => {
      await undici.request(url, { dispatcher: open })
      await undici.request(url, { dispatcher: closed })
      return traceparentOf(trace)
    })

    expect(
      received.map(({ headers }) => [headers['traceparent'], headers['x-request-id'], headers['baggage']]),
    ).toEqual([
      [expected, 'request-of-ann', undefined],
      [expected, 'request-of-ann', 'tenant=acme,user=ann'],
    ])
  })

  it.each<[name: string, headers: () => unknown]>([
    ['an object', () => ({ Baggage: 'mine=1', 'x-api-key': ['a', 'b'] })],
    ['an object without a prototype', () => Object.assign(Object.create(null), { Baggage: 'mine=1', 'x-api-key': ['a', 'b'] })], // prettier-ignore
    ['one array', () => ['Baggage', 'mine=1', 'x-api-key', 'a', 'x-api-key', 'b']],
    ['one array with several values', () => ['Baggage', 'mine=1', 'x-api-key', ['a', 'b']]],
    ['a Map', () => new Map<string, unknown>([['Baggage', 'mine=1'], ['x-api-key', ['a', 'b']]])], // prettier-ignore
    ['Headers', () => new Headers([['baggage', 'mine=1'], ['x-api-key', 'a'], ['x-api-key', 'b']])], // prettier-ignore
    ['a generator', function* () { yield ['baggage', 'mine=1']; yield ['x-api-key', 'a']; yield ['x-api-key', 'b'] }], // prettier-ignore
  ])('keeps the headers of the caller in %s, and does not change them', async (_name, make) => {
    const { url, received } = await upstream()
    const headers = Object.freeze(make())

    await asCaller(() =>
      undici.request(url, {
        headers: headers as undici8.Dispatcher.DispatchOptions['headers'],
        dispatcher: agent().compose(toLoopback()),
      }),
    )

    expect(received[0]?.lines('baggage')).toEqual(['mine=1'])
    expect(received[0]?.lines('x-api-key').join(', ')).toBe('a, b')
    expect(received[0]?.lines('traceparent')).toHaveLength(1)
  })

  it.each([null, undefined, {}, []])('accepts %j as headers', async (headers) => {
    const { url, received } = await upstream()

    await asCaller(() => undici.request(url, { headers, dispatcher: agent().compose(toLoopback()) }))

    expect(received[0]?.headers['baggage']).toBe('tenant=acme,user=ann')
  })

  it('matches the origin of a Pool and of a Client, and not the origin of the request', async () => {
    const { url, received } = await upstream()
    const pools = [new undici.Pool(url), new undici.Client(url)]
    onTestFinished(async () => void (await Promise.all(pools.map((pool) => pool.destroy()))))

    for (const pool of pools) {
      const composed = pool.compose(toLoopback({ origin: url }))
      await asCaller(() => composed.request({ path: '/', method: 'GET' }))
      const elsewhere = pool.compose(toLoopback({ values: ['evil.test'], origin: url }))
      await asCaller(() => elsewhere.request({ path: '/', method: 'GET', origin: 'http://evil.test' }))
    }

    const told = ['tenant=acme,user=ann', undefined]
    expect(received.map(({ headers }) => headers['baggage'])).toEqual([...told, ...told])
  })

  it('sends no values if the path is a URL, as for a proxy', async () => {
    const { url, received } = await upstream()
    const composed = agent().compose(toLoopback({ values: ['127.0.0.1', 'orders.internal'] }))

    await asCaller(() => composed.request({ origin: url, path: 'http://orders.internal/', method: 'GET' }))

    expect(received[0]?.path).toBe('http://orders.internal/')
    expect(received[0]?.headers).not.toHaveProperty('baggage')
    expect(received[0]?.headers).toHaveProperty('traceparent')
  })

  it('works under the fetch of undici, also when it is redirected', async () => {
    const { url, port, received } = await upstream(({ path }, response) => {
      if (path === '/') response.writeHead(307, { location: `http://evil.test:${port}/there` }).end()
      else response.end()
    })

    await asCaller(() => undici.fetch(url, { method: 'PUT', body: 'order', dispatcher: agent().compose(toLoopback()) }))

    expect(received.map(({ headers }) => headers['baggage'])).toEqual(['tenant=acme,user=ann', undefined])
    expect(received.every(({ headers }) => 'traceparent' in headers)).toBe(true)
  })

  it('works over HTTP/2', async () => {
    const server = createSecureServer(certificate, (request, response) => response.end(JSON.stringify(request.headers)))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    onTestFinished(() => void server.close())
    const { port } = server.address() as AddressInfo
    const secure = agent({ allowH2: true, connect: { lookup, ca: certificate.cert } })
    const composed = secure.compose(toLoopback({ values: ['https://localhost'].map((host) => `${host}:${port}`) }))

    const replies = await Promise.all(
      ['ann', 'bob'].map((name) =>
        asCaller(async () => {
          const options = { dispatcher: composed, headers: { Traceparent: 'mine' } }
          const { body } = await undici.request(`https://localhost:${port}`, options)
          return (await body.json()) as Record<string, string>
        }, name),
      ),
    )

    expect(replies.map((headers) => [headers[':path'], headers['baggage'], headers['traceparent']])).toEqual([
      ['/', 'tenant=acme,user=ann', 'mine'],
      ['/', 'tenant=acme,user=bob', 'mine'],
    ])
  })

  describe('with redirect', () => {
    const { redirect } = undici.interceptors

    /** Redirects `/` to another host, and that one back. */
    const open = async () => {
      const server = await upstream(({ path }, response) => {
        const next = { '/': 'http://evil.test:PORT/away', '/away': 'http://api.example.com:PORT/back' }[path]
        const location = next?.replace('PORT', String(server.port))
        if (location === undefined) response.end('arrived')
        else response.writeHead(302, { location }).end()
      })
      return { ...server, start: `http://api.example.com:${server.port}/` }
    }
    const told = ({ host, headers }: { host: string; headers: NodeJS.Dict<string | string[]> }) => [
      host.replace(/:\d+/, ''),
      headers['baggage'],
    ]

    it('sends each hop what its host may receive', async () => {
      const { start, received } = await open()
      const context = undiciInterceptor({ propagators, values: ['api.example.com'] })

      await asCaller(() =>
        undici.request(start, { dispatcher: agent().compose(context, redirect({ maxRedirections: 5 })) }),
      )

      expect(received.map(told)).toEqual([
        ['api.example.com', 'tenant=acme,user=ann'],
        ['evil.test', undefined],
        ['api.example.com', 'tenant=acme,user=ann'],
      ])
    })

    it('fails before anything is sent if the interceptors are composed in the wrong order', async () => {
      const { start, received } = await open()
      const context = undiciInterceptor({ propagators, values: ['api.example.com'] })

      const call = asCaller(() =>
        undici.request(start, { dispatcher: agent().compose(redirect({ maxRedirections: 5 }), context) }),
      )

      await expect(call).rejects.toThrow('Compose undiciInterceptor() before redirect()')
      expect(received.map(told)).toEqual([['api.example.com', 'tenant=acme,user=ann']])
    })

    it('does not fail in the wrong order if every host receives the same', async () => {
      const { start, received } = await open()
      const context = undiciInterceptor({ propagators, values: ['orders.internal'] })

      await asCaller(() =>
        undici.request(start, { dispatcher: agent().compose(redirect({ maxRedirections: 5 }), context) }),
      )

      expect(received).toHaveLength(3)
    })
  })

  it('sends a retry what the first attempt sent', async () => {
    const { url, received } = await upstream((_request, response) => {
      response.writeHead(received.length < 3 ? 503 : 200).end()
    })
    const retry = undici.interceptors.retry({ minTimeout: 1, maxTimeout: 2 })

    await asCaller(() => undici.request(url, { dispatcher: agent().compose(toLoopback(), retry) }))

    expect(received.map(({ headers }) => headers['baggage'])).toEqual(Array(3).fill('tenant=acme,user=ann'))
  })

  it('sees the host and not its address if it is composed after dns', async () => {
    const { port, received } = await upstream()
    const dns = undici.interceptors.dns({
      lookup: (_origin, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4, ttl: 1000 }]),
    })
    const context = undiciInterceptor({ propagators, values: ['orders.internal'] })

    await asCaller(() =>
      undici.request(`http://orders.internal:${port}/`, { dispatcher: agent().compose(dns, context) }),
    )

    expect(received[0]?.headers['baggage']).toBe('tenant=acme,user=ann')
  })

  it('shows a cache below it all headers of a request', async () => {
    const { url, received } = await upstream(({ headers }, response) => {
      response.setHeader('cache-control', 'max-age=60').setHeader('vary', 'baggage')
      response.end(headers['baggage'])
    })
    const composed = agent().compose(undici.interceptors.cache(), toLoopback())
    const ask = (name: string) =>
      asCaller(async () => (await undici.request(url, { dispatcher: composed })).body.text(), name)

    const replies = [await ask('ann'), await ask('bob'), await ask('ann')]

    expect(replies).toEqual(['ann', 'bob', 'ann'].map((name) => `tenant=acme,user=${name}`))
    expect(received).toHaveLength(2)
  })

  it('writes nothing to a CONNECT', async () => {
    const { url, port, connects } = await startProxy()
    const composed = agent().compose(toLoopback())

    const { socket } = await asCaller(() => composed.connect({ origin: url, path: `127.0.0.1:${port}` }))
    socket.destroy()

    expect(connects).toHaveLength(1)
    expect(connects[0]?.headers).not.toHaveProperty('traceparent')
  })

  it('writes nothing to the CONNECT of a ProxyAgent, and the values to the request in the tunnel', async () => {
    const { url, received } = await upstream()
    const { url: proxy, connects } = await startProxy()
    const tunnel = new undici.ProxyAgent({ uri: proxy, proxyTunnel: true })
    onTestFinished(() => tunnel.destroy())

    await asCaller(() => undici.request(url, { dispatcher: tunnel.compose(toLoopback()) }))

    expect(received[0]?.headers['baggage']).toBe('tenant=acme,user=ann')
    expect(connects).toHaveLength(1)
    expect(connects[0]?.headers).not.toHaveProperty('traceparent')
  })

  it('calls a handler, also for its body and errors, in the context that dispatched the request', async () => {
    const { url } = await upstream((_request, response) => {
      response.write('a')
      setImmediate(() => response.end('b'))
    })
    const one = new undici.Pool(url, { connections: 1, pipelining: 1 })
    onTestFinished(() => one.destroy())
    const seen: string[] = []
    const call = (name: string) =>
      asCaller(async () => {
        const { body } = await one.compose(toLoopback()).request({ origin: url, path: '/', method: 'GET' })
        body.on('data', () => seen.push(`${name} data ${user.get()}`))
        await once(body, 'end')
      }, name)

    await Promise.all(['ann', 'bob', 'eve'].map(call))

    expect(seen.filter((line) => !/^(\w+) data \1$/.test(line))).toEqual([])
    expect(seen.length).toBeGreaterThanOrEqual(3)
  })

  it('calls the handler of a request outside any unit outside any unit, on all hops', async () => {
    const { url, received } = await upstream(({ path }, response) => {
      if (path === '/start') response.writeHead(302, { location: '/end' })
      setTimeout(() => response.end(), 5)
    })
    const outside = new AsyncResource('outside')
    const one = agent({ connections: 1 }).compose(toLoopback(), undici.interceptors.redirect({ maxRedirections: 1 }))

    await asCaller(async () => {
      const first = undici.request(url, { dispatcher: one })
      const second = outside.runInAsyncScope(() => undici.request(`${url}/start`, { dispatcher: one }))
      await (await first).body.dump()
      await (await second).body.dump()
    })

    expect(received.map(({ path, headers }) => [path, headers['baggage']])).toEqual([
      ['/', 'tenant=acme,user=ann'],
      ['/start', undefined],
      ['/end', undefined],
    ])
  })

  it('drops and counts a value that is not a valid header', async () => {
    const { url, received } = await upstream()
    const onRefusal = vi.fn()
    const context = toLoopback({
      propagators: [
        { fields: ['x-a'], extract: (known) => known, inject: (_c, carrier) => carrier.set('x-a', 'a\r\nb: c') },
      ],
      onRefusal,
    })

    await asCaller(() => undici.request(url, { headers: ['a', 'b'], dispatcher: agent().compose(context) }))

    expect(received[0]?.headers).not.toHaveProperty('x-a')
    expect(context.outbound.counters.malformed).toBe(1)
    expect(onRefusal).toHaveBeenCalledExactlyOnceWith({ reason: 'malformed', field: 'x-a', host: '127.0.0.1' })
  })

  describe('the deadline', () => {
    const timeout = { name: 'TimeoutError', code: 'LCTX_TIMEOUT' }
    const within = <R>(ms: number, fn: () => R) =>
      asCaller(() => {
        deadline.set(Date.now() + ms)
        return fn()
      })

    it('aborts a request without a response', async () => {
      const { url } = await upstream(() => {})

      const call = within(30, () => undici.request(`${url}/a?b`, { dispatcher: agent().compose(toLoopback()) }))

      await expect(call).rejects.toMatchObject(timeout)
      await expect(call).rejects.toThrow(`'GET ${url}/a' did not end within`)
    })

    it('aborts the body', async () => {
      const { url } = await upstream((_request, response) => void response.writeHead(200).write('half'))

      const text = within(60, async () => {
        const { body } = await undici.request(url, { dispatcher: agent().compose(toLoopback()) })
        return body.text()
      })

      await expect(text).rejects.toMatchObject(timeout)
    })

    it('aborts a request that waits for a connection, and the request is never sent', async () => {
      const { url, received } = await upstream(() => {})
      const composed = agent({ connections: 1 }).compose(toLoopback())
      const stop = new AbortController()

      const stuck = undici.request(url, { dispatcher: composed, signal: stop.signal }).catch(() => {})
      const waiting = within(30, () => undici.request(`${url}/waiting`, { dispatcher: composed }))

      await expect(waiting).rejects.toMatchObject(timeout)
      stop.abort()
      await stuck
      await undici.request(url, { dispatcher: composed, headersTimeout: 20 }).catch(() => {})
      expect(received.map(({ path }) => path)).not.toContain('/waiting')
    })

    it('dispatches nothing if it has passed already', async () => {
      const { url, received } = await upstream()

      const call = within(-1, () => undici.request(url, { dispatcher: agent().compose(toLoopback()) }))

      await expect(call).rejects.toMatchObject(timeout)
      expect(received).toEqual([])
    })

    it('ends the retries', async () => {
      const { url, received } = await upstream((_request, response) => response.writeHead(503).end())
      const retry = undici.interceptors.retry({ minTimeout: 20, maxTimeout: 20, timeoutFactor: 1, maxRetries: 1000 })

      const call = within(50, () => undici.request(url, { dispatcher: agent().compose(toLoopback(), retry) }))

      await expect(call).rejects.toMatchObject(timeout)
      expect(received.length).toBeLessThan(5)
    })

    it.each<[name: string, respond: (response: ServerResponse) => void]>([
      ['ends', (response) => response.end('arrived')],
      ['fails', (response) => response.destroy()],
      ['fails after its response started', (response) => response.write('a', () => response.destroy())],
    ])('clears its timer when the request %s', async (_end, respond) => {
      const { url } = await upstream((_request, response) => respond(response))
      const [set, clear] = [vi.spyOn(globalThis, 'setTimeout'), vi.spyOn(globalThis, 'clearTimeout')]

      await within(50_000_000, async () =>
        (await undici.request(url, { dispatcher: agent().compose(toLoopback()) })).body.text(),
      ).catch(() => undefined)
      const timers = set.mock.calls.flatMap(([, ms], i) => ((ms ?? 0) > 49_000_000 ? [set.mock.results[i]?.value] : []))
      const cleared = clear.mock.calls.map(([timer]) => timer)
      set.mockRestore()
      clear.mockRestore()

      expect(timers).toHaveLength(1)
      expect(cleared).toContain(timers[0])
    })

    it('clears a timer when the request ends', async () => {
      const { url } = await upstream()
      const clear = vi.spyOn(globalThis, 'clearTimeout')

      await within(60_000, async () =>
        (await undici.request(url, { dispatcher: agent().compose(toLoopback()) })).body.dump(),
      )
      const cleared = clear.mock.calls.length
      clear.mockRestore()

      expect(cleared).toBeGreaterThanOrEqual(1)
    })
  })

  it.each<[name: string, options: object, message: RegExp]>([
    ['an unknown option', { value: [] }, /^undiciInterceptor: unknown option 'value'/],
    ['an origin that is not a URL', { origin: 'orders' }, /option 'origin' expected an absolute URL/],
    ['an invalid host', { values: ['a b'] }, /^undiciInterceptor: expected a host/],
  ])('throws a TypeError for %s', (_name, options, message) => {
    expect(() => undiciInterceptor(options)).toThrow(TypeError)
    expect(() => undiciInterceptor(options)).toThrow(message)
  })

  it('sends the tenant of the time of the call, whatever is set later', async () => {
    const { url, received } = await upstream()

    await asCaller(async () => {
      const call = undici.request(url, { dispatcher: agent().compose(toLoopback()) })
      tenant.set('other')
      await call
    })

    expect(received[0]?.headers['baggage']).toBe('tenant=acme,user=ann')
  })
})
