import { createServer, type RequestListener, type Server } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { createClient, type HandlerContext, type Interceptor } from '@connectrpc/connect'
import { connectNodeAdapter, createConnectTransport } from '@connectrpc/connect-node'
import { ContextVar } from 'logical-context'
import { connectServerInterceptor } from 'logical-context/middleware/connect'
import { logicalContext } from 'logical-context/middleware/node-http'
import { Orders, type OrdersClient, streamOf, textsOf } from '../../clients/connect-service.ts'
import { closeOf, listen, silent, urlOf } from '../../contracts/node-server.ts'
import { type Caller, Sightings } from '../matrix/sightings.ts'
import type { Column, Seen } from './measure.ts'

const user = new ContextVar<string>('user')

type Call = (client: OrdersClient, value: string, signal: AbortSignal) => Promise<unknown>

/** A call of the caller ann, with another one at the same time. */
interface Ending extends Column {
  readonly call: Call
  readonly value?: string
  /** The stage in which the client cancels. */
  readonly cancelIn?: string
}

const unary: Call = (client, value, signal) => client.unary({ value }, { signal, headers: { 'x-user': 'ann' } })
const download: Call = (client, value, signal) =>
  textsOf(client.download({ value }, { signal, headers: { 'x-user': 'ann' } }))
const upload: Call = (client, value, signal) =>
  client.upload(streamOf(value, value), { signal, headers: { 'x-user': 'ann' } })

export const connectEndings: readonly Ending[] = [
  { name: 'call', about: 'A unary call is answered after an `await`.', call: unary },
  { name: 'call fails', about: 'The handler of a unary call rejects.', call: unary, value: 'fails' },
  { name: 'stream in', about: 'The handler reads a stream of requests.', call: upload },
  { name: 'stream out', about: 'The handler is a generator of replies.', call: download },
  { name: 'stream fails', about: 'The generator throws after its first reply.', call: download, value: 'fails' },
  {
    name: 'cancelled',
    about: 'The client cancels while the handler waits.',
    call: unary,
    value: 'waits',
    cancelIn: 'handler',
  },
  {
    name: 'stream cancelled',
    about: 'The client cancels while the generator waits.',
    call: download,
    value: 'waits',
    cancelIn: 'reply of a stream',
  },
]

/** `wrap` puts a middleware around the adapter. */
export async function measureConnect(wrap?: typeof logicalContext): Promise<Seen> {
  const seen: [string, Seen[string]][] = []
  for (const ending of connectEndings) seen.push([ending.name, await measureEnding(ending, wrap)])
  return Object.fromEntries(seen)
}

async function measureEnding(
  { call, value = 'ok', cancelIn }: Ending,
  wrap?: typeof logicalContext,
): Promise<Seen[string]> {
  const sightings = new Sightings<string>()
  const look = (stage: string, headers: Headers) => sightings.see(headers.get('x-user') as Caller, stage, user.get())
  const context = connectServerInterceptor()
  const watched: Interceptor = (next) => async (request) => {
    user.set(String(request.header.get('x-user')))
    look('interceptor', request.header)
    return next(request).finally(() => look('interceptor, after the handler', request.header))
  }
  const wait = async (said: string, { signal, requestHeader }: HandlerContext) => {
    if (said === 'waits') await new Promise((resolve) => signal.addEventListener('abort', resolve))
    else await turn()
    look('handler, after await', requestHeader)
    if (said === 'fails') throw new Error('planted')
  }
  const adapter = connectNodeAdapter({
    interceptors: [context, watched],
    contextValues: context.contextValues,
    routes: (router) =>
      router.service(Orders, {
        async unary(request, handler) {
          look('handler', handler.requestHeader)
          await wait(request.value, handler)
          return { value: 'ok' }
        },
        async upload(requests, { requestHeader }) {
          look('handler', requestHeader)
          for await (const _ of requests) look('request of a stream', requestHeader)
          return { value: 'ok' }
        },
        async *download(request, handler) {
          try {
            look('handler', handler.requestHeader)
            yield { value: 'first' }
            look('reply of a stream', handler.requestHeader)
            await wait(request.value, handler)
            yield { value: 'last' }
          } finally {
            look('stream ends', handler.requestHeader)
          }
        },
      }),
  }) as RequestListener
  const server = await listen(createServer(wrap?.(adapter, { logger: silent }) ?? adapter))
  const client = createClient(Orders, createConnectTransport({ baseUrl: urlOf(server), httpVersion: '1.1' }))
  const cancel = new AbortController()

  const other = client.unary({ value: 'ok' }, { headers: { 'x-user': 'bob' } })
  const answer = call(client, value, cancel.signal).catch(() => {})
  if (cancelIn !== undefined) {
    await sightings.reached(cancelIn)
    cancel.abort()
    await sightings.reached('handler, after await')
    if (call === download) await sightings.reached('stream ends')
  }
  await Promise.all([answer, other])
  await ended(server)
  return sightings.of('ann')
}

async function ended(server: Server): Promise<void> {
  server.closeAllConnections()
  await closeOf(server)
}
