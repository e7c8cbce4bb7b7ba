import { get } from 'node:http'
import { grpcClientInterceptor } from 'logical-context/clients/grpc'
import { contextFetch } from 'logical-context/clients/fetch'
import { instrumentNodeHttp } from 'logical-context/clients/node-http'
import { undiciInterceptor } from 'logical-context/clients/undici'
import { channels, type OutboundCall } from 'logical-context/channels'
import { Agent, fetch as undiciFetch } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { asCaller, user } from './caller.ts'
import { connectTo, serve } from './grpc-service.ts'
import { type Upstream, upstream } from './upstream.ts'

/** The events of calls during the test, as one text each, with the user in the context of the start. */
function record(): string[] {
  const events: string[] = []
  const started = new Set<OutboundCall>()
  const onStart: Parameters<typeof channels.callStart.subscribe>[0] = ({ call }) => {
    started.add(call)
    events.push(`${call.client}: ${call.name.replace(/:\d+/, '')} by ${user.get()}`)
  }
  const onEnd: Parameters<typeof channels.callEnd.subscribe>[0] = ({ call, status, error }) => {
    const ending = error === undefined ? status : 'failed'
    events.push(`${started.delete(call) ? call.client : 'unknown'}: ${ending}`)
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

const clients: readonly [name: string, call: Call][] = [
  ['contextFetch', (url) => contextFetch(url)],
  [
    'contextFetch that follows redirects itself',
    (url) => contextFetch.with({ values: [{ host: '127.0.0.1', only: [user] }] })(url),
  ],
  [
    'undiciInterceptor',
    (url) => {
      const dispatcher = new Agent().compose(undiciInterceptor())
      onTestFinished(() => dispatcher.destroy())
      return undiciFetch(url, { dispatcher })
    },
  ],
  [
    'instrumentNodeHttp',
    async (url) => {
      using _ = instrumentNodeHttp()
      const request = get(url, (response) => response.resume()).on('error', () => {})
      await new Promise((resolve) => request.on('close', resolve))
    },
  ],
]

describe.each(clients)('the events of a call by %s', (name, call) => {
  const client = name.split(' ', 1)[0]

  it('publish its start in the context of the caller, without its query, and the status', async () => {
    const { url } = await upstream((_, response) => response.writeHead(503).end())
    const events = record()

    await asCaller(() => call(`${url}/orders?token=secret`))

    expect(events).toEqual([`${client}: GET http://127.0.0.1/orders by ann`, `${client}: 503`])
  })

  it('publish its failure', async () => {
    const { url } = await brokenUpstream()
    const events = record()

    await asCaller(() => call(url)).catch(() => {})

    expect(events).toEqual([`${client}: GET http://127.0.0.1/ by ann`, `${client}: failed`])
  })
})

describe('the events of a call by grpcClientInterceptor', () => {
  it('publish its start and its end', async () => {
    const port = await serve({ unary: (_, callback) => callback(null, 'tea') })
    const client = connectTo(`127.0.0.1:${port}`, { interceptors: [grpcClientInterceptor()] })
    const events = record()

    await asCaller(() => new Promise((resolve) => client['unary']?.('tea', resolve)))

    expect(events).toEqual([
      'grpcClientInterceptor: gRPC /shop.Orders/unary by ann',
      'grpcClientInterceptor: undefined',
    ])
  })
})

function brokenUpstream(): Promise<Upstream> {
  return upstream((_, response) => void response.destroy())
}
