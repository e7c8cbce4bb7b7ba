import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import express from 'express'
import session from 'express-session'
import Fastify from 'fastify'
import { Hono } from 'hono'
import { Redis } from 'ioredis'
import knex from 'knex'
import Koa from 'koa'
import { bind, ContextVar, openScope, outside, type RequestScope } from 'logical-context'
import { doctor, type Doctor } from 'logical-context/doctor'
import { logicalContext as expressContext } from 'logical-context/middleware/express'
import logicalContext from 'logical-context/middleware/fastify'
import { logicalContext as honoContext } from 'logical-context/middleware/hono'
import { Inbound } from 'logical-context/middleware/inbound'
import { logicalContext as koaContext } from 'logical-context/middleware/koa'
import { logicalContext as nodeContext } from 'logical-context/middleware/node-http'
import passport, { type Strategy } from 'passport'
import { Pool } from 'pg'
import { createClient } from 'redis'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import { knownLibraries } from '../../src/doctor/libraries.ts'
import { redisProgram, startRedis } from '../servers/redis.ts'
import { needs, type RunningServer } from '../servers/server.ts'

const user = new ContextVar<string>('user')

let on: Doctor
beforeEach(() => {
  on = doctor({ onFinding() {}, summary: false })
  onTestFinished(() => on.stop())
})

/** The findings as texts: the library, what happened, the remedy. */
function found(): string[] {
  return on.findings.map(({ what, library, remedy }) => `${library}: ${what}: ${remedy.name}`)
}

/** A unit that stays open until the test ends. */
function request(name: string): RequestScope {
  const scope = openScope(name, { onLateUse() {} })
  onTestFinished(() => scope.close())
  scope.run(() => user.set(name))
  return scope
}

describe('the known libraries', () => {
  it('are those of this file', () => {
    const tested = ['pg', 'pg-pool', 'knex', 'ioredis', '@redis/client', 'ws', 'express-session', 'passport', 'fastify']

    expect(knownLibraries.map(({ name }) => name)).toEqual(tested)
  })
})

describe('the doctor, with PostgreSQL', () => {
  let database: PGlite
  let server: PGLiteSocketServer
  const connection = () => {
    const port = Number(server.getServerConn().split(':').at(-1))
    return { host: '127.0.0.1', port, user: 'postgres', database: 'postgres' }
  }
  beforeAll(async () => {
    database = await PGlite.create()
    server = new PGLiteSocketServer({ db: database, host: '127.0.0.1', port: 0, maxConnections: 4 })
    await server.start()
  }, 60_000)
  afterAll(async () => {
    await server.stop()
    await database.close()
  })

  /** Ann's request makes the connection, bob's uses it with a callback. Resolves with the user that the callback reads. */
  async function secondQuery(pool: Pool, wrap: (fn: () => void) => () => void): Promise<string | undefined> {
    const seen = Promise.withResolvers<string | undefined>()
    await request('ann').run(() => pool.query('select 1'))
    request('bob').run(() =>
      pool.query(
        'select 2',
        wrap(() => seen.resolve(user.get())),
      ),
    )
    return seen.promise
  }

  it('finds a callback of a pool of pg that runs in the request that made the connection', async () => {
    const pool = new Pool({ ...connection(), max: 1 })
    onTestFinished(() => pool.end())

    expect(await secondQuery(pool, (fn) => fn)).toBe('ann')

    expect(found()).toEqual(['pg: callback of query() of one request ran in another: bind'])
    expect(on.findings[0]?.callSite).toMatch(/test\/doctor\/libraries\.test\.ts:\d+:\d+$/)
  })

  it('finds a callback in the config of a query, and leaves the config as it is', async () => {
    const pool = new Pool({ ...connection(), max: 1 })
    onTestFinished(() => pool.end())
    await request('ann').run(() => pool.query('select 1'))
    const client = await pool.connect()
    const seen = Promise.withResolvers<string | undefined>()
    const callback = () => seen.resolve(user.get())
    const config = { text: 'select 2', callback }

    request('bob').run(() => void client.query(config))

    expect(await seen.promise).toBe('ann')
    client.release()
    expect(found()).toEqual(['pg: callback of query() of one request ran in another: outside'])
    expect(config.callback).toBe(callback)
  })

  it('advises outside() if the other request created the pool and its connection', async () => {
    const ann = request('ann')
    const pool = ann.run(() => new Pool({ ...connection(), max: 1 }))
    onTestFinished(() => pool.end())
    const seen = Promise.withResolvers<string | undefined>()
    await ann.run(() => pool.query('select 1'))

    request('bob').run(() => pool.query('select 2', () => seen.resolve(user.get())))
    await seen.promise

    expect(found()).toEqual(['pg: callback of query() of one request ran in another: outside'])
  })

  it('finds nothing if the callback is bound, or with promises', async () => {
    const pool = new Pool({ ...connection(), max: 1 })
    onTestFinished(() => pool.end())

    expect(await secondQuery(pool, bind)).toBe('bob')
    await request('dan').run(() => pool.query('select 3'))

    expect(found()).toEqual([])
  })

  it('finds a read in a callback of a pool that was connected outside any request', async () => {
    const pool = new Pool({ ...connection(), max: 1 })
    onTestFinished(() => pool.end())
    await outside(() => pool.query('select 1'))
    const seen = Promise.withResolvers<string | undefined>()

    request('bob').run(() => pool.query('select 2', () => seen.resolve(user.get())))

    expect(await seen.promise).toBeUndefined()
    expect(found()).toEqual(["pg-pool: read of 'user' outside any unit: bind"])
  })

  it('finds a listener of knex that runs in the request that queries', async () => {
    const db = knex({ client: 'pg', connection: connection(), pool: { min: 0, max: 1 } })
    onTestFinished(() => db.destroy())
    const seen: unknown[] = []

    request('ann').run(() => db.on('query', () => seen.push(user.get())))
    await request('bob').run(() => db.raw('select 1'))

    expect(seen).toContain('bob')
    expect(found()).toContain("knex: listener of 'query' of one request ran in another: bind")
  })
})

const { name, skip } = needs(redisProgram, 'redis-server')

describe.skipIf(skip)(`the doctor, with Redis${name}`, () => {
  let server: RunningServer
  beforeAll(async () => {
    server = await startRedis()
  }, 60_000)
  afterAll(() => server.stop())

  it('finds a read in a listener of ioredis', async () => {
    const [subscriber, publisher] = [new Redis(server.port), new Redis(server.port)]
    onTestFinished(() => [subscriber, publisher].forEach((client) => client.disconnect()))
    const seen = Promise.withResolvers<unknown>()

    await request('ann').run(() => {
      subscriber.on('message', () => seen.resolve(user.get()))
      return subscriber.subscribe('orders')
    })
    await publisher.publish('orders', '1')

    expect(await seen.promise).toBeUndefined()
    expect(found()).toEqual(["ioredis: read of 'user' outside any unit: bind"])
  })

  it('finds a listener of node-redis that runs in the request that connected', async () => {
    const [subscriber, publisher] = [createClient({ url: server.url }), createClient({ url: server.url })]
    onTestFinished(() => [subscriber, publisher].forEach((client) => client.destroy()))
    await request('ann').run(() => subscriber.connect())
    await publisher.connect()
    const seen = Promise.withResolvers<unknown>()

    await request('bob').run(() => subscriber.subscribe('orders', () => seen.resolve(user.get())))
    await publisher.publish('orders', '1')

    expect(await seen.promise).toBe('ann')
    expect(found()).toEqual(['@redis/client: callback of subscribe() of one request ran in another: bind'])
  })
})

describe('the doctor, with sockets and sessions', () => {
  it('finds a read in a listener of ws', async () => {
    const app = Fastify()
    onTestFinished(() => app.close())
    await app.register(logicalContext)
    await app.register(import('@fastify/websocket'))
    const seen = Promise.withResolvers<unknown>()
    app.get('/', { websocket: true }, (socket) => {
      user.set('ann')
      socket.on('message', () => {
        seen.resolve(user.get())
        socket.close()
      })
    })
    const url = await app.listen({ port: 0, host: '127.0.0.1' })

    const client = new WebSocket(url.replace('http', 'ws'))
    await once(client, 'open')
    client.send('hello')

    expect(await seen.promise).toBeUndefined()
    expect(found()).toEqual(["ws: read of 'user' outside any unit: bindEmitter"])
  })

  /** A store whose callbacks run in the context of one connection, as those of a pool do. */
  class PooledStore extends session.Store {
    readonly #connection = request('ann')

    override get(_id: string, callback: (error: unknown, data?: null) => void): void {
      setImmediate(() => this.#connection.run(() => callback(null, null)))
    }
    override set(_id: string, _data: unknown, callback?: () => void): void {
      setImmediate(() => callback?.())
    }
    override destroy(_id: string, callback?: () => void): void {
      setImmediate(() => callback?.())
    }
  }

  async function serve(...handlers: express.RequestHandler[]): Promise<string> {
    const inbound = new Inbound({ onLateUse() {} })
    const app = express()
    app.use((request, response, next) => {
      const scope = inbound.open(request.url, request)
      response.once('close', () => scope.close())
      scope.run(() => {
        user.set('bob')
        next()
      })
    })
    for (const handler of handlers) app.use(handler)
    const server = createServer(app).listen(0, '127.0.0.1')
    onTestFinished(async () => server.close().closeAllConnections())
    await once(server, 'listening')
    return `http://127.0.0.1:${(server.address() as { port: number }).port}`
  }

  it('finds a callback that a program passes to a store of express-session', async () => {
    const store = new PooledStore()
    const seen = Promise.withResolvers<unknown>()

    request('bob').run(() => store.get('1', () => seen.resolve(user.get())))

    expect(await seen.promise).toBe('ann')
    expect(found()).toEqual(['express-session: callback of get() of one request ran in another: bind'])
  })

  it('finds a read after passport in the wrong context', async () => {
    const pending: (() => void)[] = []
    const strategy = {
      name: 'pooled',
      authenticate(this: { success(user: object): void }) {
        pending.push(() => this.success({ id: 1 }))
      },
    } as unknown as Strategy
    passport.use(strategy)
    const url = await serve(passport.authenticate('pooled', { session: false }), (_request, response) => {
      response.json({ user: user.get() ?? null })
    })

    const response = fetch(url)
    await expect.poll(() => pending.length).toBe(1)
    // The connection of a pool calls back.
    outside(() => pending[0]?.())

    expect(await (await response).json()).toEqual({ user: null })
    expect(found()).toEqual(["passport: read of 'user' outside any unit: bind"])
  })

  it.each<[name: string, library: string, listener: () => RequestListener]>([
    [
      'a middleware of Express',
      'router',
      () =>
        express()
          .use((_request, _response, next) => (user.get(), next()))
          .use(expressContext(), (_request, response) => (user.set('ann'), void response.end())),
    ],
    [
      'a middleware of Koa',
      'koa-compose',
      () =>
        new Koa()
          .use((_context, next) => (user.get(), next()))
          .use(koaContext())
          .use((context) => (user.set('ann'), void (context.body = '')))
          .callback(),
    ],
    [
      'a middleware of Hono',
      'hono',
      () => {
        const app = new Hono().use((_context, next) => (user.get(), next()))
        app.use(honoContext()).get('/', (context) => (user.set('ann'), context.text('')))
        const listener = getRequestListener(app.fetch)
        return (request, response) => void listener(request, response)
      },
    ],
    [
      'a listener of node:http',
      'node:events',
      () => {
        const inner = nodeContext((_request, response) => (user.set('ann'), void response.end()))
        return (request, response) => (user.get(), inner(request, response))
      },
    ],
  ])('advises to use the middleware earlier for %s that runs before it', async (_name, library, listener) => {
    const server = createServer(listener()).listen(0, '127.0.0.1')
    onTestFinished(() => server.close().closeAllConnections())
    await once(server, 'listening')

    const response = await fetch(`http://127.0.0.1:${(server.address() as { port: number }).port}`)

    expect(response.status).toBe(200)
    await response.text()
    expect(found()).toEqual([`${library}: read of 'user' outside any unit: register earlier`])
  })

  it('finds a hook of Fastify that runs before the plugin', async () => {
    const app = Fastify()
    onTestFinished(() => app.close())
    app.addHook('onRequest', async () => void user.get())
    await app.register(logicalContext)
    app.get('/', async () => user.set('ann'))

    await app.inject('/')

    expect(found()).toEqual(["fastify: read of 'user' outside any unit: register earlier"])
  })
})
