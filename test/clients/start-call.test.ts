import { Agent as HttpAgent, get } from 'node:http'
import { outside } from 'logical-context'
import { grpcClientInterceptor } from 'logical-context/clients/grpc'
import { connectClientInterceptor } from 'logical-context/clients/connect'
import { contextFetch } from 'logical-context/clients/fetch'
import { instrumentNodeHttp } from 'logical-context/clients/node-http'
import { undiciInterceptor } from 'logical-context/clients/undici'
import { channels, type OutboundCall } from 'logical-context/channels'
import { Agent as UndiciAgent, fetch as undiciFetch, request as undiciRequest } from 'undici'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { asCaller, user } from './caller.ts'
import { connectTo as connect, serve as serveConnect } from './connect-service.ts'
import { connectTo, serve } from './grpc-service.ts'
import { type Upstream, upstream } from './upstream.ts'

/** The events of calls during the test, as one text each, with the user in the context. */
function record(): string[] {
  const events: string[] = []
  const started = new Set<OutboundCall>()
  const onStart: Parameters<typeof channels.callStart.subscribe>[0] = ({ call }) => {
    started.add(call)
    events.push(`${call.client}: ${call.name.replace(/:\d+/, '')} by ${user.get()}`)
  }
  const onEnd: Parameters<typeof channels.callEnd.subscribe>[0] = ({ call, status, error }) => {
    const ending = error === undefined ? status : 'failed'
    events.push(`${started.delete(call) ? call.client : 'unknown'}: ${ending} by ${user.get()}`)
  }
  channels.callStart.subscribe(onStart)
  channels.callEnd.subscribe(onEnd)
  onTestFinished(() => {
    channels.callStart.unsubscribe(onStart)
    channels.callEnd.unsubscribe(onEnd)
  })
  return events
}

type Call = (url: string) => Promise<unknown>

// With keep-alive: a connection has the context of the call that opened it.
const pool = new UndiciAgent().compose(undiciInterceptor())
const agent = new HttpAgent({ keepAlive: true })
afterAll(async () => {
  await pool.destroy()
  agent.destroy()
})

const clients: readonly [name: string, call: Call][] = [
  ['contextFetch', (url) => contextFetch(url)],
  [
    'contextFetch that follows redirects itself',
    (url) => contextFetch.with({ values: [{ host: '127.0.0.1', only: [user] }] })(url),
  ],
  [
    'undiciInterceptor',
    (url) => {
      return undiciFetch(url, { dispatcher: pool })
    },
  ],
  [
    'instrumentNodeHttp',
    async (url) => {
      using _ = instrumentNodeHttp()
      const request = get(url, { agent }, (response) => response.resume()).on('error', () => {})
      await new Promise((resolve) => request.on('close', resolve))
    },
  ],
]

describe.each(clients)('the events of a call by %s', (name, call) => {
  const client = name.split(' ', 1)[0]

  it('publish its start and its end in the context of the caller, without its query, and the status', async () => {
    const { url } = await upstream((_, response) => response.writeHead(503).end())
    await outside(() => call(url))
    const events = record()

    await asCaller(() => call(`${url}/orders?token=secret`))

    expect(events).toEqual([`${client}: GET http://127.0.0.1/orders by ann`, `${client}: 503 by ann`])
  })

  it('publish its failure', async () => {
    const { url } = await brokenUpstream()
    const events = record()

    await asCaller(() => call(url)).catch(() => {})

    expect(events).toEqual([`${client}: GET http://127.0.0.1/ by ann`, `${client}: failed by ann`])
  })
})

describe('the events of a call by grpcClientInterceptor', () => {
  it('publish its start and its end', async () => {
    const port = await serve({ unary: (_, callback) => callback(null, 'tea') })
    const client = connectTo(`127.0.0.1:${port}`, { interceptors: [grpcClientInterceptor()] })
    const send = () => new Promise((resolve) => client['unary']?.('tea', resolve))
    await outside(send)
    const events = record()

    await asCaller(send)

    expect(events).toEqual([
      'grpcClientInterceptor: gRPC /shop.Orders/unary by ann',
      'grpcClientInterceptor: undefined by ann',
    ])
  })
})

describe('the events of a call by connectClientInterceptor', () => {
  it('publish its start and its end, or its failure', async () => {
    const unary = async ({ value }: { value: string }) => {
      if (value === 'coffee') throw new Error('sold out')
      return { value }
    }
    const { url } = await serveConnect({ unary })
    const client = connect(url, [connectClientInterceptor()])
    const events = record()

    await asCaller(async () => {
      await client.unary({ value: 'tea' })
      await client.unary({ value: 'coffee' }).catch(() => {})
    })

    expect(events).toEqual([
      'connectClientInterceptor: Connect shop.Orders/Unary by ann',
      'connectClientInterceptor: undefined by ann',
      'connectClientInterceptor: Connect shop.Orders/Unary by ann',
      'connectClientInterceptor: failed by ann',
    ])
  })
})

describe('the end of a call that another unit aborts', () => {
  it('is published in the context of the caller, by undiciInterceptor', async () => {
    const { promise: received, resolve } = Promise.withResolvers<void>()
    const { url } = await upstream(() => resolve())
    const events = record()
    const { signal, abort } = abortable()

    const call = asCaller(() => undiciRequest(url, { dispatcher: pool, signal }))
    await received
    asCaller(abort, 'bob')
    await expect(call).rejects.toThrow('aborted')

    expect(events.at(-1)).toBe('undiciInterceptor: failed by ann')
  })

  it('is published in the context of the caller, by grpcClientInterceptor', async () => {
    const { promise: received, resolve } = Promise.withResolvers<void>()
    const port = await serve({ unary: () => resolve() })
    const client = connectTo(`127.0.0.1:${port}`, { interceptors: [grpcClientInterceptor()] })
    const events = record()
    const { promise: ended, resolve: end } = Promise.withResolvers<unknown>()

    let cancel = () => {}
    const asAnn = asCaller(() => {
      const call = client['unary']?.('tea', end) as { cancel(): void }
      cancel = () => call.cancel()
      return ended
    })
    await received
    asCaller(cancel, 'bob')
    await asAnn

    expect(events.at(-1)).toBe('grpcClientInterceptor: failed by ann')
  })
})

function abortable() {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}

function brokenUpstream(): Promise<Upstream> {
  return upstream((_, response) => void response.destroy())
}
