import { get } from 'node:http'
import axios from 'axios'
import { contextFetch, type Fetch } from 'logical-context/clients/fetch'
import { instrumentNodeHttp } from 'logical-context/clients/node-http'
import { undiciInterceptor } from 'logical-context/clients/undici'
import * as undici8 from 'undici'
import * as undici7 from 'undici7'
import { describe, expect, it, onTestFinished } from 'vitest'
import { runScript } from '../flow/run-script.ts'
import { asCaller, propagators } from './caller.ts'
import { type Proxy, setEnvironment, startProxy } from './proxy.ts'
import { upstream } from './upstream.ts'

type Undici = typeof undici8

const versions: [name: string, undici: Undici][] = [
  ['undici 8', undici8],
  ['undici 7', undici7 as never],
]
const listed = { propagators, values: ['orders.internal'] }
const values = 'tenant=acme,user=ann'

/** A service that only a proxy can find. */
async function service(): Promise<{ url: string; baggage: () => unknown[]; trace: () => unknown[] }> {
  const { port, received } = await upstream()
  return {
    url: `http://orders.internal:${port}/cart?id=1`,
    baggage: () => received.map(({ headers }) => headers['baggage']),
    trace: () => received.map(({ headers }) => typeof headers['traceparent']),
  }
}

const closing = <D extends { destroy(): Promise<void> }>(dispatcher: D): D => {
  onTestFinished(() => dispatcher.destroy())
  return dispatcher
}

describe('a plain HTTP proxy', () => {
  describe.each(versions)('of %s', (_, undici) => {
    const plain = ({ url }: Proxy) => closing(new undici.ProxyAgent({ uri: url, proxyTunnel: false }))
    const calls: [name: string, call: (url: string, proxy: Proxy) => Promise<unknown>][] = [
      [
        'undiciInterceptor',
        (url, proxy) => undici.request(url, { dispatcher: plain(proxy).compose(undiciInterceptor(listed)) }),
      ],
      [
        'undiciInterceptor with an origin',
        (url, proxy) => {
          const { origin } = new URL(url)
          return undici.request(url, { dispatcher: plain(proxy).compose(undiciInterceptor({ ...listed, origin })) })
        },
      ],
      [
        'undiciInterceptor under fetch',
        (url, proxy) => undici.fetch(url, { dispatcher: plain(proxy).compose(undiciInterceptor(listed)) }),
      ],
      ['contextFetch', (url, proxy) => contextFetch.with({ ...listed, fetch: through(plain(proxy)) })(url)],
      [
        'contextFetch without redirects',
        (url, proxy) => contextFetch.with({ ...listed, fetch: through(plain(proxy)) })(url, { redirect: 'manual' }),
      ],
    ]
    const through =
      (dispatcher: undici8.Dispatcher): Fetch =>
      (input, init) =>
        undici.fetch(input, { ...init, dispatcher })

    it.each(calls)('receives the trace and no values from %s', async (_name, call) => {
      const [{ url, baggage, trace }, proxy] = [await service(), await startProxy()]

      await asCaller(() => call(url, proxy))

      expect(proxy.forwarded).toHaveLength(1)
      expect(proxy.forwarded[0]?.headers).not.toHaveProperty('baggage')
      expect([baggage(), trace()]).toEqual([[undefined], ['string']])
    })

    it('receives no values from a repeated request', async () => {
      const proxy = await startProxy()
      const { port, received } = await upstream((_request, response) => {
        if (received.length > 1) response.end('whole')
        else response.writeHead(200, { 'content-length': '5' }).write('w', () => response.destroy())
      })
      const retrying = new undici.RetryAgent(plain(proxy), { minTimeout: 1, maxTimeout: 2 })
      const fetch = contextFetch.with({ ...listed, fetch: through(retrying) })

      await asCaller(async () => (await fetch(`http://orders.internal:${port}/`)).text()).catch(() => undefined)

      expect(proxy.forwarded.length).toBeGreaterThan(1)
      expect(proxy.forwarded.map(({ headers }) => headers['baggage'])).toEqual(proxy.forwarded.map(() => undefined))
    })

    it('receives the headers that the caller set', async () => {
      const [{ url }, proxy] = [await service(), await startProxy()]
      const fetch = contextFetch.with({ ...listed, fetch: through(plain(proxy)) })

      await asCaller(() => fetch(url, { headers: { baggage: 'mine=1' } }))

      expect(proxy.forwarded[0]?.headers['baggage']).toBe('mine=1')
    })

    it.each<[name: string, call: (url: string, tunnel: undici8.Dispatcher) => Promise<unknown>]>([
      ['undiciInterceptor', (url, tunnel) => undici.request(url, { dispatcher: tunnel.compose(undiciInterceptor(listed)) })], // prettier-ignore
      ['contextFetch', (url, tunnel) => contextFetch.with({ ...listed, fetch: through(tunnel) })(url)],
    ])('with a tunnel lets the values of %s through to the service', async (_name, call) => {
      const [{ url, baggage }, proxy] = [await service(), await startProxy()]

      await asCaller(() => call(url, closing(new undici.ProxyAgent({ uri: proxy.url, proxyTunnel: true }))))

      expect(baggage()).toEqual([values])
      expect(proxy.connects.map(({ headers }) => headers['baggage'])).toEqual([undefined])
    })
  })

  it.each([
    ['contextFetch', "import { contextFetch } from 'logical-context/clients/fetch'\nconst call = contextFetch.with(options)"], // prettier-ignore
    [
      'node:http',
      "import { get } from 'node:http'\nimport { instrumentNodeHttp } from 'logical-context/clients/node-http'\n" +
        'instrumentNodeHttp(options)\n' +
        "const call = (url) => new Promise((done) => get(url, (reply) => reply.resume().on('end', done)))",
    ],
  ])('of the environment receives the trace and no values from %s', async (_, client) => {
    const [{ url, baggage, trace }, proxy] = [await service(), await startProxy()]
    setEnvironment({
      NODE_USE_ENV_PROXY: '1',
      HTTP_PROXY: proxy.url,
      http_proxy: undefined,
      NO_PROXY: '',
      no_proxy: '',
    })

    const { code } = await runScript(`
      import { ContextVar, runInScope } from 'logical-context'
      import { w3cBaggage, w3cTraceContext } from 'logical-context/propagators'
      import { TraceContext, traceContext } from 'logical-context/variables'
      const tenant = new ContextVar('tenant')
      const options = { propagators: [w3cTraceContext(), w3cBaggage({ members: { tenant } })], values: ['orders.internal'] }
      ${client}
      await runInScope(async () => {
        traceContext.set(new TraceContext())
        tenant.set('acme')
        await call('${url}')
      })
    `)

    expect(code).toBe(0)
    expect(proxy.forwarded.map(({ headers }) => headers['baggage'])).toEqual(proxy.forwarded.map(() => undefined))
    // The fetch of Node 22 and 24 opens a tunnel, also for `http:`.
    expect([baggage(), trace()]).toEqual([[proxy.connects.length === 0 ? undefined : 'tenant=acme'], ['string']])
    expect(proxy.forwarded.length + proxy.connects.length).toBe(1)
  })

  it.each<[name: string, call: (url: string, proxy: Proxy) => Promise<unknown>]>([
    ['axios', (url, { port }) => axios.get(url, { proxy: { protocol: 'http', host: '127.0.0.1', port } })],
    ['node:http', (url, { port }) => new Promise((resolve) => get({ host: '127.0.0.1', port, path: url }, resolve))],
  ])('receives the trace and no values from %s', async (_, call) => {
    const [{ url, baggage, trace }, proxy] = [await service(), await startProxy()]
    const { stop } = instrumentNodeHttp(listed)
    onTestFinished(stop)

    await asCaller(() => call(url, proxy))

    expect(proxy.forwarded).toHaveLength(1)
    expect([baggage(), trace()]).toEqual([[undefined], ['string']])
  })
})

describe('two clients with other options', () => {
  it('send an equal header each to the hosts of their own', async () => {
    const [first, second] = [await upstream(), await upstream()]
    const toFirst = contextFetch.with({ propagators, trace: [`127.0.0.1:${first.port}`] })
    const toAll = contextFetch.with({ propagators })

    const replies = await asCaller(() => Promise.all([toFirst(first.url), toAll(second.url), toFirst(second.url)]))

    expect(replies).toHaveLength(3)
    expect(first.received.map(({ headers }) => headers['x-request-id'])).toEqual(['request-of-ann'])
    expect(second.received.map(({ headers }) => String(headers['x-request-id'])).toSorted()).toEqual([
      'request-of-ann',
      'undefined',
    ])
  })
})
