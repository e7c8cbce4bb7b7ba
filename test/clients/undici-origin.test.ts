import * as undici8 from 'undici'
import type { Dispatcher } from 'undici'
import * as undici7 from 'undici7'
import {
  type UndiciInterceptor,
  undiciInterceptor,
  type UndiciInterceptorOptions,
} from 'logical-context/clients/undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { asCaller, propagators } from './caller.ts'
import { lookup } from './loopback-names.ts'
import { upstream } from './upstream.ts'

type Undici = typeof undici8
type Interceptor = Dispatcher.DispatcherComposeInterceptor

const versions: [name: string, undici: Undici][] = [
  ['undici 8', undici8],
  ['undici 7', undici7 as never],
]

/** The dispatchers that send every request to their own origin, whatever origin a request names. */
const fixed: [name: string, make: (undici: Undici, origin: string) => Dispatcher][] = [
  ['Client', ({ Client }, origin) => new Client(origin, { connect: { lookup } })],
  ['Pool', ({ Pool }, origin) => new Pool(origin, { connect: { lookup } })],
  ['BalancedPool', ({ BalancedPool }, origin) => new BalancedPool(origin, { connect: { lookup } })],
  ['RoundRobinPool', ({ RoundRobinPool }, origin) => new RoundRobinPool(origin, { connect: { lookup } })],
  ['RetryAgent of a Pool', ({ Pool, RetryAgent }, origin) => new RetryAgent(new Pool(origin, { connect: { lookup } }))],
  [
    'Agent whose factory ignores the origin',
    ({ Agent, Pool }, origin) => new Agent({ factory: () => new Pool(origin, { connect: { lookup } }) }),
  ],
]

/** The dispatchers that send a request to the origin that it names. */
const free: [name: string, make: (undici: Undici) => Dispatcher][] = [
  ['Agent', ({ Agent }) => new Agent({ connect: { lookup } })],
  ['RetryAgent', ({ Agent, RetryAgent }) => new RetryAgent(new Agent({ connect: { lookup } }))],
  ['EnvHttpProxyAgent', ({ EnvHttpProxyAgent }) => new EnvHttpProxyAgent({ connect: { lookup }, noProxy: '*' })],
]

const toLoopback: NonNullable<undici8.interceptors.DNSInterceptorOpts['lookup']> = (_origin, _options, callback) =>
  callback(null, [{ address: '127.0.0.1', family: 4, ttl: 1000 }])

const passesOn: Interceptor = (dispatch) =>
  function pass(options, handler) {
    return dispatch(options, { ...wrapped(handler) })
  }

/** A handler of another class: one cannot see from outside what is in it. */
function wrapped(handler: Dispatcher.DispatchHandler): Dispatcher.DispatchHandler {
  const names = ['onRequestStart', 'onRequestUpgrade', 'onResponseStart', 'onResponseData', 'onResponseEnd', 'onResponseError'] as const // prettier-ignore
  return Object.fromEntries(
    names.map((name) => [
      name,
      (...args: never[]) => (handler[name] as ((...a: never[]) => void) | undefined)?.(...args),
    ]),
  )
}

const compositions: [name: string, compose: (undici: Undici, own: UndiciInterceptor) => Interceptor[]][] = [
  ['redirect', ({ interceptors }, own) => [own, interceptors.redirect({ maxRedirections: 3 })]],
  ['retry and redirect', ({ interceptors }, own) => [own, interceptors.retry(), interceptors.redirect({ maxRedirections: 3 })]], // prettier-ignore
  ['another interceptor and redirect', ({ interceptors }, own) => [own, passesOn, interceptors.redirect({ maxRedirections: 3 })]], // prettier-ignore
  ['an interceptor below', ({ interceptors }, own) => [passesOn, own, interceptors.redirect({ maxRedirections: 3 })]],
]

describe.each(versions)('undiciInterceptor of %s', (_, undici) => {
  /** An unlisted server that redirects to a listed host. */
  const openUnlisted = async () => {
    const server = await upstream(({ path }, response) => {
      if (path === '/') response.writeHead(302, { location: `http://listed.test:${server.port}/away` }).end()
      else response.end('arrived')
    })
    return { ...server, url: `http://unlisted.test:${server.port}` }
  }
  const compose = (
    dispatcher: Dispatcher,
    interceptors: (own: UndiciInterceptor) => Interceptor[],
    options: UndiciInterceptorOptions = {},
  ) => {
    onTestFinished(() => dispatcher.destroy())
    return dispatcher.compose(interceptors(undiciInterceptor({ propagators, values: ['listed.test'], ...options })))
  }
  const ignore = () => undefined

  describe.each(fixed)('of a %s', (_name, make) => {
    it.each(compositions)(
      'sends no values to its host after a redirect, with %s',
      async (_composition, interceptors) => {
        const { url, received } = await openUnlisted()
        const dispatcher = compose(make(undici, url), (own) => interceptors(undici, own))

        await asCaller(() => undici.request(url, { dispatcher })).catch(ignore)

        expect(received.map(({ headers }) => headers['baggage'])).toEqual(received.map(() => undefined))
        expect(received[0]?.headers).toHaveProperty('traceparent')
      },
    )

    it('sends no values to its address after a redirect to another port, with dns', async () => {
      const { port, received } = await upstream(({ path }, response) => {
        if (path === '/') response.writeHead(302, { location: `http://listed.test:${port + 1}/away` }).end()
        else response.end('arrived')
      })
      const url = `http://127.0.0.1:${port}`
      const { dns, redirect } = undici.interceptors
      const dispatcher = compose(make(undici, url), (own) => [
        dns({ lookup: toLoopback }),
        own,
        redirect({ maxRedirections: 3 }),
      ])

      await asCaller(() => undici.request(url, { dispatcher })).catch(ignore)

      expect(received.map(({ headers }) => headers['baggage'])).toEqual(received.map(() => undefined))
    })

    it('sends no values to its host after a redirect that fetch follows', async () => {
      const { url, received } = await openUnlisted()
      const dispatcher = compose(make(undici, url), (own) => [own])

      await asCaller(() => undici.fetch(url, { dispatcher })).catch(ignore)

      expect(received.map(({ headers }) => headers['baggage'])).toEqual(received.map(() => undefined))
    })

    it('sends no values to its host for a request that names a listed one', async () => {
      const { url, port, received } = await openUnlisted()
      const dispatcher = compose(make(undici, url), (own) => [own])

      await asCaller(() =>
        dispatcher.request({ origin: `http://listed.test:${port}`, path: '/away', method: 'GET' }),
      ).catch(ignore)

      expect(received.map(({ headers }) => headers['baggage'])).toEqual(received.map(() => undefined))
    })

    it('sends values to its host if the option origin names it', async () => {
      const { port, received } = await openUnlisted()
      const origin = `http://listed.test:${port}`
      const dispatcher = compose(make(undici, origin), (own) => [own], { origin })

      await asCaller(() => dispatcher.request({ origin, path: '/away', method: 'GET' }))

      expect(received[0]?.headers['baggage']).toBe('tenant=acme,user=ann')
    })

    it('sends no values for a request that names another origin than the option', async () => {
      const { port, received } = await openUnlisted()
      const origin = `http://listed.test:${port}`
      const dispatcher = compose(make(undici, origin), (own) => [own], { origin })

      await asCaller(() =>
        dispatcher.request({ origin: `http://unlisted.test:${port}`, path: '/away', method: 'GET' }),
      ).catch(ignore)

      expect(received.map(({ headers }) => headers['baggage'])).toEqual(received.map(() => undefined))
    })
  })

  it.each(free)('of an %s sends values to the listed origin of each request', async (_name, make) => {
    const { url, port, received } = await openUnlisted()
    const dispatcher = compose(make(undici), (own) => [own, undici.interceptors.redirect({ maxRedirections: 3 })])

    await asCaller(() => undici.request(url, { dispatcher }))
    await asCaller(() =>
      dispatcher.request({ origin: new URL(`http://listed.test:${port}`), path: '/', method: 'GET' }),
    )

    expect(received.map(({ host, headers }) => [host.split(':')[0], headers['baggage']])).toEqual([
      ['unlisted.test', undefined],
      ['listed.test', 'tenant=acme,user=ann'],
      ['listed.test', 'tenant=acme,user=ann'],
      ['listed.test', 'tenant=acme,user=ann'],
    ])
  })

  it.each(free)('of an %s sends values below other interceptors', async (_name, make) => {
    const { port, received } = await openUnlisted()
    const { cache, dns, retry } = undici.interceptors
    const dispatcher = compose(make(undici), (own) => [cache(), dns({ lookup: toLoopback }), passesOn, own, retry()])

    await asCaller(() => undici.request(`http://listed.test:${port}/away`, { dispatcher })).catch(ignore)

    expect(received.map(({ headers }) => headers['baggage'])).toEqual(['tenant=acme,user=ann'])
  })
})
