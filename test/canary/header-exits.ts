import { once } from 'node:events'
import { request } from 'node:http'
import { credentials, makeGenericClientConstructor } from '@grpc/grpc-js'
import replyFrom from '@fastify/reply-from'
import Fastify from 'fastify'
import { contextFetch } from 'logical-context/clients/fetch'
import { grpcClientInterceptor } from 'logical-context/clients/grpc'
import { inject } from 'logical-context/clients/inject'
import { instrumentNodeHttp } from 'logical-context/clients/node-http'
import { rewriteRequestHeaders } from 'logical-context/clients/reply-from'
import { undiciInterceptor } from 'logical-context/clients/undici'
import logicalContext from 'logical-context/middleware/fastify'
import { interceptors } from 'undici'
import { serve, service } from '../clients/grpc-service.ts'
import { loopbackAgent, loopbackFetch } from '../clients/loopback-names.ts'
import { upstream } from '../clients/upstream.ts'
import { type Canary, canaries, type Exit, knowingAll, propagators, setAll } from './canaries.ts'

const listedHost = '127.0.0.1'
const foreignHost = 'evil.test'
const lists = { 'a listed host': [listedHost], 'a host that is not listed': ['other.test'] } as const

/** Calls a URL, whose host receives what those on the list may receive. */
type Call = (url: string, values: readonly string[]) => Promise<unknown>

const clients: Record<string, Call> = {
  contextFetch: async (url, values) => {
    await (await contextFetch.with({ propagators, values, fetch: loopbackFetch() })(url)).text()
  },
  undici: async (url, values) => {
    const dispatcher = loopbackAgent().compose(undiciInterceptor({ propagators, values }))
    const { origin, pathname: path } = new URL(url)
    await (await dispatcher.request({ origin, path, method: 'GET' })).body.text()
  },
  'node:http': async (url, values) => {
    const injection = instrumentNodeHttp({ propagators, values })
    const [reply] = (await once(request(url).end(), 'response')) as [NodeJS.ReadableStream]
    await once(reply.resume(), 'end')
    injection.stop()
  },
  'inject, for any other client': async (url, values) => {
    const headers: Record<string, string> = {}
    inject.with({ propagators, values })(headers, { to: url })
    await (await fetch(url, { headers })).text()
  },
  '@fastify/reply-from': async (url, values) => {
    const proxy = Fastify()
    await proxy.register(logicalContext, { propagators })
    await proxy.register(replyFrom, { base: url })
    proxy.addHook('onRequest', async () => setAll())
    const rewrite = rewriteRequestHeaders({ propagators, values, to: url })
    proxy.get('/', (_request, reply) => reply.from('/', { rewriteRequestHeaders: rewrite }))
    const headers = { baggage: `other=${encodeURIComponent(canaries.plain)}` }
    await (await fetch(await proxy.listen({ host: '127.0.0.1', port: 0 }), { headers })).text()
    await proxy.close()
  },
}

const byClient: Exit[] = Object.entries(clients).flatMap(([client, call]) =>
  Object.entries(lists).map(([host, values]) => ({
    name: `headers to ${host}, by ${client}`,
    may: toldTo(values),
    async run() {
      const { url, received } = await upstream()
      await knowingAll(() => call(url, values))
      return received
    },
  })),
)

const byGrpc: Exit[] = Object.entries(lists).map(([host, values]) => ({
  name: `metadata to ${host}, by gRPC`,
  may: toldTo(values),
  async run() {
    const received: unknown[] = []
    const port = await serve({
      unary: ({ metadata }, callback) => {
        received.push(metadata.getMap())
        callback(null, 'ok')
      },
    })
    const Orders = makeGenericClientConstructor(service, 'Orders')
    const client = new Orders(`127.0.0.1:${port}`, credentials.createInsecure(), {
      interceptors: [grpcClientInterceptor({ propagators, values })],
    })
    await knowingAll(() => new Promise((resolve) => void client['unary']?.('tea', resolve)))
    client.close()
    return received
  },
}))

/** What a host receives that a listed one redirects to. */
const byRedirect: Exit[] = [301, 303, 307].flatMap((status) =>
  Object.entries<Call>({
    contextFetch: clients['contextFetch'] as Call,
    undici: async (url, values) => {
      const { origin, pathname: path } = new URL(url)
      const dispatcher = loopbackAgent().compose(
        undiciInterceptor({ propagators, values }),
        interceptors.redirect({ maxRedirections: 2 }),
      )
      // It does not follow a redirect that would send values.
      await dispatcher.request({ origin, path, method: 'GET' }).catch(() => {})
    },
  }).map(([client, call]) => ({
    name: `headers after a redirect by ${status} to a foreign host, by ${client}`,
    may: [],
    async run() {
      const server = await upstream(({ host }, response) => {
        if (host.startsWith(foreignHost)) response.end('arrived')
        else response.writeHead(status, { location: `http://${foreignHost}:${server.port}/` }).end()
      })
      await knowingAll(() => call(server.url, [listedHost]))
      const told = server.received.filter(({ host }) => host.startsWith(foreignHost))
      return told.length === 0 && client === 'undici' ? 'not followed' : told
    },
  })),
)

export const headerExits: Exit[] = [...byClient, ...byGrpc, ...byRedirect]

function toldTo(values: readonly string[]): readonly Canary[] {
  return values.includes(listedHost) ? ['declared'] : []
}
