import { createServer } from 'node:http'
import DataLoader from 'dataloader'
import Fastify, { type FastifyInstance } from 'fastify'
import { createClient } from 'graphql-ws'
import { createPubSub, createSchema, createYoga } from 'graphql-yoga'
import { ContextVar, spawn, type TaskGroup } from 'logical-context'
import fastifyContext from 'logical-context/middleware/fastify'
import { logicalContext } from 'logical-context/middleware/node-http'
import mercurius, { type IResolvers, type MercuriusContext } from 'mercurius'
import { describe, expect, it, onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import { closeOf, listen, silent, urlOf } from '../contracts/node-server.ts'

const user = new ContextVar<string>('user')
const count = new ContextVar('count', { default: 0 })

const typeDefs = `
  type Item { id: String owner: String }
  type Query { me: String items: [Item] failLater: String }
  type Mutation { publish(text: String): String }
  type Subscription { order: String }
`

/** The resolvers, whatever the library. */
class Shop {
  readonly batches: [user: string | undefined, size: number][] = []
  readonly failures: unknown[] = []
  readonly subscribed = Promise.withResolvers<void>()

  readonly query = {
    me: async () => user.get(),
    items: () => ['1', '2'].map((id) => ({ id })),
    failLater: () => {
      spawn(() => Promise.reject(new Error('no')), { name: 'reindex' })
      return 'ok'
    },
  }

  loadOwners = async (ids: readonly string[]) => {
    this.batches.push([user.get(), ids.length])
    return ids.map((id) => `${id} of ${user.get()}`)
  }

  describeOrder = async (text: string) => {
    count.set(count.get() + 1)
    return `${text} ${count.get()} ${user.get()}`
  }

  onError = (error: unknown, { name }: { name: string }) => void this.failures.push([String(error), name, user.get()])
}

interface Served {
  url: string
  group: TaskGroup
  /** The values of the field of a subscription. */
  subscribe(name: string, query: string): AsyncGenerator
  close(): Promise<void>
}

function yogaOf(shop: Shop) {
  const { publish, subscribe } = createPubSub<{ order: [string] }>()
  interface Context {
    owners: DataLoader<string, string>
  }
  return createYoga<object, Context>({
    logging: false,
    context: () => ({ owners: new DataLoader(shop.loadOwners) }),
    schema: createSchema<Context>({
      typeDefs,
      resolvers: {
        Query: shop.query,
        Item: { owner: ({ id }: { id: string }, _args: unknown, { owners }) => owners.load(id) },
        Mutation: {
          publish(_root, { text }: { text: string }) {
            publish('order', text)
            return 'ok'
          },
        },
        Subscription: {
          order: {
            subscribe() {
              setImmediate(shop.subscribed.resolve)
              return subscribe('order')
            },
            resolve: shop.describeOrder,
          },
        },
      },
    }),
  })
}

/** A subscription by server-sent events. */
async function* overEvents(url: string, name: string, query: string): AsyncGenerator {
  const { body } = await send(url, name, query, 'text/event-stream')
  let text = ''
  for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk
    for (let at = text.indexOf('\n\n'); at >= 0; at = text.indexOf('\n\n')) {
      const data = /^data: (.+)$/m.exec(text.slice(0, at))?.[1]
      text = text.slice(at + 2)
      if (data !== undefined) yield valueOf(JSON.parse(data))
    }
  }
}

async function* overWebSocket(url: string, name: string, query: string): AsyncGenerator {
  class NamedSocket extends WebSocket {
    constructor(address: string, protocols: string[]) {
      super(address, protocols, { headers: { 'x-user': name } })
    }
  }
  const client = createClient({ url: url.replace('http', 'ws'), webSocketImpl: NamedSocket, retryAttempts: 0 })
  try {
    for await (const result of client.iterate({ query })) yield valueOf(result)
  } finally {
    await client.dispose()
  }
}

async function fastifyOf(shop: Shop): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(fastifyContext, { onError: shop.onError })
  app.addHook('onRequest', async ({ headers }) => user.set(String(headers['x-user'])))
  return app
}

const servers: [name: string, serve: (shop: Shop) => Promise<Served>][] = [
  [
    'GraphQL Yoga on Fastify',
    async (shop) => {
      const app = await fastifyOf(shop)
      const yoga = yogaOf(shop)
      app.route({
        url: yoga.graphqlEndpoint,
        method: ['GET', 'POST', 'OPTIONS'],
        handler: (request, reply) => yoga.handleNodeRequestAndResponse(request, reply, {}),
      })
      const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/graphql`
      return {
        url,
        group: app.requestScopes.group,
        subscribe: (...query) => overEvents(url, ...query),
        close: async () => app.close(),
      }
    },
  ],
  [
    'GraphQL Yoga on node:http',
    async (shop) => {
      const yoga = yogaOf(shop)
      const listener = logicalContext(
        (request, response) => {
          user.set(String(request.headers['x-user']))
          return yoga(request, response)
        },
        { logger: silent, onError: shop.onError },
      )
      const server = await listen(createServer(listener))
      const url = `${urlOf(server)}/graphql`
      return {
        url,
        group: listener.inbound.group,
        subscribe: (...query) => overEvents(url, ...query),
        close: async () => closeOf(server),
      }
    },
  ],
  [
    'mercurius',
    async (shop) => {
      const app = await fastifyOf(shop)
      const resolvers: IResolvers = {
        Query: shop.query,
        Mutation: {
          async publish(_root, { text }, { pubsub }) {
            await pubsub.publish({ topic: 'order', payload: text })
            return 'ok'
          },
        },
        Subscription: {
          order: {
            subscribe: async (_root, _args, { pubsub }: MercuriusContext) => {
              const events = await pubsub.subscribe('order')
              shop.subscribed.resolve()
              return events as AsyncIterableIterator<string>
            },
            resolve: shop.describeOrder,
          },
        },
      }
      const loaders = {
        Item: { owner: (queries: { obj: { id: string } }[]) => shop.loadOwners(queries.map(({ obj }) => obj.id)) },
      }
      await app.register(mercurius, { schema: typeDefs, resolvers, loaders, subscription: true })
      const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/graphql`
      return {
        url,
        group: app.requestScopes.group,
        subscribe: (...query) => overWebSocket(url, ...query),
        close: async () => app.close(),
      }
    },
  ],
]

async function send(url: string, name: string, query: string, accept = 'application/json'): Promise<Response> {
  const headers = { 'x-user': name, 'content-type': 'application/json', accept }
  return fetch(url, { method: 'POST', headers, body: JSON.stringify({ query }) })
}

const valueOf = ({ data }: { data?: unknown }) => Object.values(data ?? {})[0]

describe.each(servers)('a request in %s', (_name, serve) => {
  async function open() {
    const shop = new Shop()
    const served = await serve(shop)
    onTestFinished(() => served.close())
    const ask = async (name: string, query: string) => {
      const response = await send(served.url, name, query)
      return valueOf((await response.json()) as object)
    }
    return { shop, ask, ...served }
  }

  it('has its values in resolvers, and batches its loads alone', async () => {
    const { shop, ask } = await open()

    const answers = await Promise.all(['ann', 'bob'].map((name) => ask(name, '{ items { owner } }')))
    const me = await ask('ann', '{ me }')

    expect(answers).toEqual(['ann', 'bob'].map((name) => ['1', '2'].map((id) => ({ owner: `${id} of ${name}` }))))
    expect(new Map(shop.batches)).toEqual(
      new Map([
        ['ann', 2],
        ['bob', 2],
      ]),
    )
    expect(shop.batches).toHaveLength(2)
    expect(me).toBe('ann')
  })

  it('keeps its unit for a subscription: events have its values, not those of the request that published', async () => {
    const { shop, ask, subscribe } = await open()
    const orders = subscribe('ann', 'subscription { order }')
    const first = orders.next()
    await shop.subscribed.promise

    await ask('bob', 'mutation { publish(text: "cocoa") }')
    const received = [(await first).value]
    // Events that wait for a client that does not read.
    const texts = Array.from({ length: 20 }, (_, index) => 'x'.repeat(100_000) + index)
    for (const text of texts) await ask('bob', `mutation { publish(text: "${text}") }`)
    for (const _ of texts) received.push((await orders.next()).value)
    await orders.return(undefined)

    expect(received).toEqual(['cocoa', ...texts].map((text, index) => `${text} ${index + 1} ann`))
  })

  it('reports a failed task of a resolver to onError, in its context', async () => {
    const { shop, ask, group } = await open()

    const answer = await ask('ann', '{ failLater }')
    await group.drain()

    expect(answer).toBe('ok')
    expect(shop.failures).toEqual([['Error: no', 'reindex', 'ann']])
  })
})
