import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { json } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { contextFetch } from 'logical-context/clients/fetch'
import { inject } from 'logical-context/clients/inject'
import { instrumentNodeHttp } from 'logical-context/clients/node-http'
import { undiciInterceptor } from 'logical-context/clients/undici'
import * as undici8 from 'undici'
import * as undici7 from 'undici7'
import { describe, expect, it, onTestFinished } from 'vitest'
import { asCaller, propagators } from './caller.ts'
import { upstream } from './upstream.ts'

type Headers = Record<string, string>
/** Makes a call and returns the headers that the upstream received. */
type Call = (url: string) => Promise<Headers>

const users = ['ann', 'bob', 'eve']

/** Makes concurrent calls; returns the callers whose call had the ids or values of another caller. */
async function callsAtOnce(count: number, url: string, call: Call): Promise<{ crossed: string[]; calls: number }> {
  const crossed: string[] = []
  let calls = 0
  // A caller whose unit ended has no values left that another call could send.
  const allHaveReplies = Promise.withResolvers<void>()
  const callers = Array.from({ length: count }, (_, i) => {
    const name = users[i % users.length] as string
    return asCaller(async (trace) => {
      // Callers start at different times, as requests do.
      await delay(i % 5)
      const headers = await call(url)
      const own = [trace.traceId, `request-of-${name}`, `tenant=acme,user=${name}`]
      const sent = [headers['traceparent']?.slice(3, 35), headers['x-request-id'], headers['baggage']]
      if (sent.join() !== own.join()) crossed.push(`${name} sent ${sent.join()}`)
      if (++calls === count) allHaveReplies.resolve()
      await allHaveReplies.promise
    }, name)
  })
  await Promise.all(callers)
  return { crossed, calls }
}

/** So slow that all calls except the first ones wait for a connection. */
const slowUpstream = () =>
  upstream(({ headers }, response) => void delay(3).then(() => response.end(JSON.stringify(headers))))

const values = ['127.0.0.1']

interface Closable {
  destroy: () => Promise<void>
}
const closedWithTest = <D extends Closable>(dispatcher: D): D => {
  onTestFinished(() => dispatcher.destroy())
  return dispatcher
}

type Undici = typeof undici8
const dispatchers: [name: string, make: (undici: Undici, url: string) => undici8.Dispatcher][] = [
  ['Client', ({ Client }, url) => new Client(url)],
  ['Client with pipelining', ({ Client }, url) => new Client(url, { pipelining: 4 })],
  ['Pool of one connection', ({ Pool }, url) => new Pool(url, { connections: 1 })],
  ['Pool of two connections', ({ Pool }, url) => new Pool(url, { connections: 2 })],
  ['BalancedPool', ({ BalancedPool }, url) => new BalancedPool(url, { connections: 1 })],
  ['RoundRobinPool', ({ RoundRobinPool }, url) => new RoundRobinPool(url, { connections: 1 })],
  ['Agent of one connection', ({ Agent }) => new Agent({ connections: 1 })],
  ['Agent of two connections', ({ Agent }) => new Agent({ connections: 2 })],
  ['Agent', ({ Agent }) => new Agent()],
  ['RetryAgent', ({ Agent, RetryAgent }) => new RetryAgent(new Agent({ connections: 1 }))],
]

describe.each<[name: string, undici: Undici]>([
  ['undici 8', undici8],
  ['undici 7', undici7 as never],
])('forty concurrent callers through the interceptor of %s', (_, undici) => {
  it.each(dispatchers)('send their own ids and values each: %s', async (_name, make) => {
    const { url } = await slowUpstream()
    const dispatcher = closedWithTest(make(undici, url)).compose(
      undiciInterceptor({ propagators, values, origin: url }),
    )

    const outcome = await callsAtOnce(40, url, async () => {
      const { body } = await dispatcher.request({ origin: url, path: '/', method: 'GET' })
      return (await body.json()) as Headers
    })

    expect(outcome).toEqual({ crossed: [], calls: 40 })
  })

  it.each(['request', 'stream', 'pipeline', 'fetch'] as const)(
    'send their own ids and values each: %s()',
    async (api) => {
      const { url } = await slowUpstream()
      const dispatcher = closedWithTest(new undici.Agent({ connections: 1 })).compose(
        undiciInterceptor({ propagators, values }),
      )
      const calls: Record<typeof api, Call> = {
        request: async () => (await undici.request(url, { dispatcher })).body.json() as Promise<Headers>,
        stream: async () => {
          const { PassThrough } = await import('node:stream')
          const into = new PassThrough()
          const reading = json(into)
          await undici.stream(url, { dispatcher, method: 'GET' }, () => into)
          return (await reading) as Headers
        },
        pipeline: async () =>
          (await json(undici.pipeline(url, { dispatcher, method: 'GET' }, ({ body }) => body).end())) as Headers,
        fetch: async () => (await (await undici.fetch(url, { dispatcher })).json()) as Headers,
      }

      expect(await callsAtOnce(40, url, calls[api])).toEqual({ crossed: [], calls: 40 })
    },
  )

  it('send their own ids and values each after a redirect', async () => {
    const { url } = await upstream(({ path, headers }, response) => {
      if (path === '/') response.writeHead(302, { location: '/there' })
      void delay(2).then(() => response.end(JSON.stringify(headers)))
    })
    const dispatcher = closedWithTest(new undici.Agent({ connections: 1 })).compose(
      undiciInterceptor({ propagators, values }),
      undici.interceptors.redirect({ maxRedirections: 1 }),
    )

    const outcome = await callsAtOnce(
      40,
      url,
      async () => (await undici.request(url, { dispatcher })).body.json() as Promise<Headers>,
    )

    expect(outcome).toEqual({ crossed: [], calls: 40 })
  })

  it('send their own ids and values each after a retry', async () => {
    const tries = new Set<string>()
    const { url } = await upstream(({ headers }, response) => {
      const id = String(headers['traceparent'])
      if (!tries.has(id)) response.statusCode = 503
      tries.add(id)
      void delay(2).then(() => response.end(JSON.stringify(headers)))
    })
    const dispatcher = closedWithTest(new undici.Agent({ connections: 1 })).compose(
      undiciInterceptor({ propagators, values }),
      undici.interceptors.retry({ minTimeout: 1, maxTimeout: 5 }),
    )

    const outcome = await callsAtOnce(
      40,
      url,
      async () => (await undici.request(url, { dispatcher })).body.json() as Promise<Headers>,
    )

    expect(outcome).toEqual({ crossed: [], calls: 40 })
    expect(tries.size).toBe(40)
  })
})

describe('forty concurrent callers', () => {
  it('send their own ids and values each by contextFetch, through one connection', async () => {
    const { url } = await slowUpstream()
    const dispatcher = closedWithTest(new undici8.Agent({ connections: 1 }))
    const fetch = contextFetch.with({
      propagators,
      values,
      fetch: (input, init) => undici8.fetch(input, { ...init, dispatcher }),
    })

    const outcome = await callsAtOnce(40, url, async () => (await (await fetch(url)).json()) as Headers)

    expect(outcome).toEqual({ crossed: [], calls: 40 })
  })

  it.each([1, 2])('send their own ids and values each by node:http, through %d sockets', async (maxSockets) => {
    const { url } = await slowUpstream()
    const injection = instrumentNodeHttp({ propagators, values })
    onTestFinished(() => injection.stop())
    const agent = new HttpAgent({ keepAlive: true, maxSockets })
    onTestFinished(() => agent.destroy())

    const outcome = await callsAtOnce(40, url, async () => {
      const { promise, resolve, reject } = Promise.withResolvers<Headers>()
      httpRequest(url, { agent }, (response) => resolve(json(response) as Promise<Headers>))
        .on('error', reject)
        .end()
      return promise
    })

    expect(outcome).toEqual({ crossed: [], calls: 40 })
  })

  it('control: they send those of others if a diagnostics channel of the pool injects', async () => {
    const { url } = await slowUpstream()
    const dispatcher = closedWithTest(new undici7.Pool(url, { connections: 1 }))
    const injectValues = inject.with({ propagators, values })
    const onCreate = (message: unknown) => {
      const { request } = message as { request: { addHeader(name: string, value: string): void } }
      const headers = new Map<string, string>()
      injectValues(headers, { to: url })
      for (const [name, value] of headers) request.addHeader(name, value)
    }
    // Tracers do this: the pool of undici 7 creates its requests when a connection is free.
    subscribe('undici:request:create', onCreate)
    onTestFinished(() => void unsubscribe('undici:request:create', onCreate))

    const { crossed } = await callsAtOnce(40, url, async () => {
      const { body } = await dispatcher.request({ path: '/', method: 'GET' })
      return (await body.json()) as Headers
    })

    expect(crossed.filter((line) => !/^(\w+) sent .*,user=\1$/.test(line)).length).toBeGreaterThan(20)
    expect(crossed.filter((line) => !line.includes(',user='))).toEqual([])
  })
})
