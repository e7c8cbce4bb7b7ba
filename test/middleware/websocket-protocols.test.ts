import { EventEmitter, on } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createTRPCClient, createWSClient, wsLink } from '@trpc/client'
import { initTRPC } from '@trpc/server'
import { applyWSSHandler } from '@trpc/server/adapters/ws'
import { buildSchema, execute, type GraphQLError, parse, subscribe, validate } from 'graphql'
import { createClient } from 'graphql-ws'
import { useServer } from 'graphql-ws/use/ws'
import { bind, ContextVar, spawn } from 'logical-context'
import { type CloseReport, logicalContext, type WebSocketOptions } from 'logical-context/middleware/websocket'
import { describe, expect, it, onTestFinished } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { silent } from '../contracts/node-server.ts'

const user = new ContextVar<string>('user')
const count = new ContextVar('count', { default: 0 })
const tick = () => new Promise<void>((resolve) => setImmediate(resolve))

/** What both protocols serve. */
class Shop {
  readonly slowBegan = Promise.withResolvers<void>()
  readonly slowGo = Promise.withResolvers<void>()
  readonly errors: unknown[] = []
  readonly subscribed = Promise.withResolvers<void>()
  readonly #events = new EventEmitter()

  me = async () => {
    await tick()
    return user.get() ?? 'unknown'
  }

  rename = async () => {
    user.set(`${user.get()} renamed`)
    return this.me()
  }

  fail = async (): Promise<string> => {
    await tick()
    throw new Error('no')
  }

  failLater = async () => {
    spawn(this.fail, { name: 'reindex' })
    return 'ok'
  }

  slow = async () => {
    this.slowBegan.resolve()
    await this.slowGo.promise
    return this.me()
  }

  publish = async () => {
    this.#events.emit('tick', `from ${user.get()}`)
    return 'ok'
  }

  /** Ends at once if `return` is called, unlike an async generator that waits. */
  ticks = (signal?: AbortSignal) => {
    this.subscribed.resolve()
    return on(this.#events, 'tick', signal && { signal })
  }

  describe = async (text: string) => {
    count.set(count.get() + 1)
    return `${text} ${count.get()} ${await this.me()}`
  }
}

interface Client {
  ask(operation: 'me' | 'rename' | 'fail' | 'failLater' | 'slow' | 'publish'): Promise<unknown>
  ticks(): AsyncIterator<unknown>
  close(): Promise<void>
}

interface Protocol {
  readonly name: string
  readonly options: WebSocketOptions
  serve(server: WebSocketServer, shop: Shop): void
  connect(url: string, name: string): Client
}

/** A WebSocket of the user `name`. */
function socketOf(name: string) {
  return class extends WebSocket {
    constructor(url: string, protocols: string[] = []) {
      super(url, protocols, { headers: { 'x-user': name } })
    }
  }
}

const graphqlWs: Protocol = {
  name: 'graphql-ws',
  options: {},
  serve(server, shop) {
    const schema = buildSchema(
      `type Query { me: String rename: String fail: String failLater: String slow: String publish: String }
      type Subscription { ticks: String }`,
    )
    const subscription = schema.getSubscriptionType()?.getFields()['ticks']
    if (subscription === undefined) throw new Error('The schema has no field ticks.')
    subscription.subscribe = () => shop.ticks()
    subscription.resolve = ([text]: [string]) => shop.describe(text)
    const onNext = (
      _context: unknown,
      _id: unknown,
      _payload: unknown,
      _args: unknown,
      result: { errors?: unknown },
    ) => {
      for (const { message } of (result.errors as GraphQLError[] | undefined) ?? [])
        shop.errors.push([message, user.get()])
    }
    // The test runner loads a second copy of graphql, which would refuse the schema.
    const graphql = { execute, parse, subscribe, validate }
    useServer(
      { ...graphql, schema, roots: { query: Object.fromEntries(Object.entries(shop)) }, onNext },
      server as never,
    )
  },
  connect(url, name) {
    const client = createClient({ url, webSocketImpl: socketOf(name), retryAttempts: 0 })
    const valueOf = ({ data }: { data?: Record<string, unknown> | null }) => Object.values(data ?? {})[0]
    return {
      async ask(operation) {
        const { value } = await client.iterate({ query: `{ ${operation} }` }).next()
        return valueOf(value ?? {})
      },
      async *ticks() {
        for await (const result of client.iterate({ query: 'subscription { ticks }' })) yield valueOf(result)
      },
      close: async () => client.dispose(),
    }
  },
}

const t = initTRPC.create()

/** Each call of a procedure is a task; a subscription is one until it ends. The guide on WebSockets shows it. */
const inTask = t.middleware(({ next, path, signal }) => {
  const called = Promise.withResolvers<Awaited<ReturnType<typeof next>>>()
  const call = async () => {
    const result = await next()
    if (!result.ok) throw result.error
    if (!isIterable(result.data)) return called.resolve(result)
    const ended = Promise.withResolvers<void>()
    called.resolve({ ...result, data: stepsHere(result.data, ended) })
    await ended.promise
  }
  spawn(call, { name: path, ...(signal && { cancelWith: signal }) })
    .result()
    .catch(called.reject)
  return called.promise
})

const isIterable = (data: unknown): data is AsyncIterable<unknown> => Object(data)[Symbol.asyncIterator] !== undefined

/** The same iterable, whose steps run in the current unit. */
function stepsHere(iterable: AsyncIterable<unknown>, { resolve, reject }: PromiseWithResolvers<void>) {
  const iterator = iterable[Symbol.asyncIterator]()
  const step = bind(async (move: 'next' | 'return'): Promise<IteratorResult<unknown>> => {
    try {
      const result = (await iterator[move]?.()) ?? { done: true, value: undefined }
      if (result.done === true) resolve()
      return result
    } catch (error) {
      reject(error)
      throw error
    }
  })
  const steps = { next: () => step('next'), return: () => step('return'), [Symbol.asyncIterator]: () => steps }
  return steps
}

function routerOf(shop: Shop) {
  const procedure = t.procedure.use(inTask)
  return t.router({
    me: procedure.query(shop.me),
    rename: procedure.query(shop.rename),
    fail: procedure.query(shop.fail),
    failLater: procedure.query(shop.failLater),
    slow: procedure.query(shop.slow),
    publish: procedure.query(shop.publish),
    ticks: procedure.subscription(async function* ({ signal }) {
      for await (const [text] of shop.ticks(signal)) yield shop.describe(text)
    }),
    broken: procedure.subscription(async function* () {
      yield 'first'
      await shop.fail()
    }),
  })
}

function trpcCaller(url: string, name: string) {
  const client = createWSClient({
    url,
    WebSocket: socketOf(name) as never,
    // A client without calls does not connect again.
    lazy: { enabled: true, closeMs: 60_000 },
  })
  const caller = createTRPCClient<ReturnType<typeof routerOf>>({ links: [wsLink({ client })] })
  return { caller, close: async () => client.close() }
}

const trpc: Protocol = {
  name: 'tRPC',
  options: { messagePolicy: 'share' },
  serve: (server, shop) => applyWSSHandler({ wss: server, router: routerOf(shop) }),
  connect(url, name) {
    const { caller, close } = trpcCaller(url, name)
    return {
      ask: (operation) => caller[operation].query().catch(() => undefined),
      ticks() {
        const events = new EventEmitter()
        const received = on(events, 'data')
        const subscription = caller.ticks.subscribe(undefined, { onData: (tick) => void events.emit('data', tick) })
        return {
          next: async () => received.next().then(({ value = [] }) => ({ done: false, value: value[0] })),
          async return() {
            subscription.unsubscribe()
            return { done: true, value: undefined }
          },
        }
      },
      close,
    }
  },
}

/** A server of the protocol, with clients by name. */
async function open(protocol: Protocol) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  const failures: unknown[] = []
  const reports: CloseReport[] = []
  const { inbound } = logicalContext(server, {
    logger: silent,
    onError: (error, task) => void failures.push([String(error), task.name, user.get()]),
    onDrained: (report) => void reports.push(report),
    ...protocol.options,
  })
  const shop = new Shop()
  server.on('connection', (_socket, request) => user.set(String(request.headers['x-user'])))
  protocol.serve(server, shop)
  onTestFinished(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
  const connect = (name: string) => {
    const client = protocol.connect(url, name)
    onTestFinished(() => client.close())
    return client
  }
  return { url, server, shop, group: inbound.group, connect, failures, reports }
}

describe.each([graphqlWs, trpc])('logicalContext of middleware/websocket, with $name', (protocol) => {
  it('runs each operation in a unit of its own, which begins with the values of the connection', async () => {
    const { connect } = await open(protocol)
    const [ann, bob] = [connect('ann'), connect('bob')]

    const renamed = await Promise.all([ann.ask('rename'), bob.ask('rename')])
    const names = await Promise.all([ann.ask('me'), bob.ask('me')])

    expect([renamed, names]).toEqual([
      ['ann renamed', 'bob renamed'],
      ['ann', 'bob'],
    ])
  })

  it('keeps the unit of a subscription until it ends; its events have its values, not those of the publisher', async () => {
    const { shop, group, connect } = await open(protocol)
    const [ann, bob] = [connect('ann'), connect('bob')]
    const ticks = ann.ticks()
    const first = ticks.next()
    await shop.subscribed.promise

    await bob.ask('publish')
    await first
    const second = ticks.next()
    await bob.ask('publish')
    await second
    const running = group.tasks
    await ticks.return?.()

    expect([(await first).value, (await second).value]).toEqual(['from bob 1 ann', 'from bob 2 ann'])
    expect(running).toHaveLength(1)
    await expect.poll(() => group.tasks).toEqual([])
  })

  it('ends the unit of a subscription when its connection closes', async () => {
    const { server, shop, group, connect } = await open(protocol)
    void connect('ann')
      .ticks()
      .next()
      .catch(() => {})
    await shop.subscribed.promise

    const [subscription] = group.tasks
    for (const socket of server.clients) socket.terminate()

    expect(subscription).toBeDefined()
    await expect.poll(() => group.tasks).not.toContain(subscription)
  })

  it('reports a failed task of an operation to onError, in its context', async () => {
    const { connect, failures } = await open(protocol)

    const answer = await connect('ann').ask('failLater')

    expect(answer).toBe('ok')
    await expect.poll(() => failures).toEqual([['Error: no', 'reindex', 'ann']])
  })

  it('waits at the close for a running operation, and sends its result', async () => {
    const { server, shop, connect, reports } = await open(protocol)
    const answer = connect('ann').ask('slow')
    await shop.slowBegan.promise

    const closed = new Promise((resolve) => server.close(resolve))
    shop.slowGo.resolve()

    expect(await answer).toBe('ann')
    await closed
    expect(reports.map(({ unfinished }) => unfinished)).toEqual([[]])
  })
})

describe('logicalContext of middleware/websocket, for failures of operations', () => {
  it('has the context of the operation in the hook onNext of graphql-ws', async () => {
    const { shop, connect } = await open(graphqlWs)

    await connect('ann').ask('fail')

    expect(shop.errors).toEqual([['no', 'ann']])
  })

  it('reports what a procedure or a subscription of tRPC throws to onError, in its context', async () => {
    const { url, connect, failures, group } = await open(trpc)
    const client = connect('ann')
    const subscriber = trpcCaller(url, 'ann')

    await client.ask('fail')
    await new Promise<unknown>((onError) => subscriber.caller.broken.subscribe(undefined, { onError }))
    await subscriber.close()

    expect(failures).toEqual([
      ['TRPCError: no', 'fail', 'ann'],
      ['Error: no', 'broken', 'ann'],
    ])
    await expect.poll(() => group.tasks).toEqual([])
  })
})
