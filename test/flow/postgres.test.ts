import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import Fastify from 'fastify'
import { bind, ContextVar, runInScope, spawn } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { type Notification, Pool, type PoolClient } from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'

const user = new ContextVar<string>('user')
const names = ['ann', 'bob', 'cid']
/** In the wrong context, a callback may look at a unit that has ended. */
const lenient = { onLateUse: () => {} }

let database: PGlite
let server: PGLiteSocketServer

beforeAll(async () => {
  database = await PGlite.create()
  server = new PGLiteSocketServer({ db: database, host: '127.0.0.1', port: 0, maxConnections: 4 })
  await server.start()
  await database.exec('create table audit (who text, what text)')
}, 60_000)

afterAll(async () => {
  await server.stop()
  await database.close()
})

function poolOf(max: number): Pool {
  const port = Number(server.getServerConn().split(':').at(-1))
  const pool = new Pool({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', max })
  onTestFinished(() => pool.end())
  return pool
}

type Ask = (see: (value: unknown) => void) => unknown

/** Runs queries of several users at the same time, each in a unit that stays open until all have a result; returns the results. */
async function askAll(ask: Ask): Promise<unknown[]> {
  const seen = names.map(() => Promise.withResolvers<unknown>())
  const all = Promise.all(seen.map(({ promise }) => promise))
  await Promise.all(
    seen.map(({ resolve }, index) =>
      runInScope(() => {
        user.set(names[index] as string)
        ask(resolve)
        return all
      }),
    ),
  )
  return all
}

describe('a pool of pg with one connection', () => {
  const query = { text: 'select pg_sleep(0.005)' }

  it('calls back in the context of another user, without bind', async () => {
    const pool = poolOf(1)

    const seen = await askAll((see) => pool.query(query, () => see(user.get())))

    expect(seen).toEqual(['ann', 'ann', 'ann'])
  })

  it('calls back where nothing of that user is left, when its unit has ended', async () => {
    const pool = poolOf(1)
    const ask = (name: string) =>
      runInScope(() => {
        user.set(name)
        return new Promise((resolve) => pool.query(query, () => resolve(user.get())))
      }, lenient)

    expect(await Promise.all(names.map(ask))).toEqual(['ann', undefined, undefined])
  })

  it('calls back in the right one, with bind', async () => {
    const pool = poolOf(1)

    const seen = await askAll((see) =>
      pool.query(
        query,
        bind(() => see(user.get())),
      ),
    )

    expect(seen).toEqual(names)
  })

  it('resolves in the right one', async () => {
    const pool = poolOf(1)

    const seen = await askAll(async (see) => {
      const { rows } = await pool.query<{ name: string }>('select $1::text as name', [user.get()])
      see([rows[0]?.name, user.get()])
    })

    expect(seen).toEqual(names.map((name) => [name, name]))
  })
})

describe('LISTEN', () => {
  /** A connection that listens to `prices`, opened by a user's request. */
  async function subscriber(listener: (message: Notification) => void): Promise<PoolClient> {
    return runInScope(async () => {
      user.set('ann')
      const client = await poolOf(1).connect()
      client.on('notification', listener)
      await client.query('listen prices')
      return client
    }, lenient)
  }

  it('emits a notification in the context of the code that opened the connection, and a listener can open a unit', async () => {
    const seen: unknown[] = []
    const client = await subscriber(({ payload }) => {
      seen.push(user.get() ?? 'a unit that has ended')
      runInScope(
        (scope) => {
          seen.push(user.get())
          user.set('prices')
          spawn(() => void seen.push([scope.name, user.get(), payload]))
        },
        { name: 'on prices' },
      )
    })

    await runInScope(async () => {
      user.set('bob')
      await client.query("notify prices, 'tea 9.50'")
    })
    client.release()

    await expect.poll(() => seen).toEqual(['a unit that has ended', undefined, ['on prices', 'prices', 'tea 9.50']])
  })
})

describe('a transaction of a request', () => {
  const transaction = new ContextVar<PoolClient>('transaction', { onSpawn: 'drop' })

  it('is not that of its background tasks: what these write stays, though it is rolled back', async () => {
    const pool = poolOf(2)
    const write = (what: string) =>
      (transaction.get() ?? pool).query('insert into audit values ($1, $2)', [user.get(), what])
    const app = Fastify()
    onTestFinished(() => app.close())
    await app.register(logicalContext)
    app.post('/orders', async (_request, reply) => {
      user.set('ann')
      const client = await pool.connect()
      transaction.set(client)
      await client.query('begin')
      await write('ordered')
      spawn(() => write('has tried'), { name: 'audit' })
      await client.query('rollback')
      client.release()
      return reply.code(409).send('sold out')
    })

    const { statusCode } = await app.inject({ method: 'POST', url: '/orders' })
    await app.close()

    const { rows } = await database.query('select * from audit')
    expect(statusCode).toBe(409)
    expect(rows).toEqual([{ who: 'ann', what: 'has tried' }])
  })
})
