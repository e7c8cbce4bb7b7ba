import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import Bluebird from 'bluebird'
import { sql as drizzleSql } from 'drizzle-orm'
import { integer, pgTable } from 'drizzle-orm/pg-core'
import { drizzle } from 'drizzle-orm/pglite'
import Knex from 'knex'
import { Kysely, PostgresDialect } from 'kysely'
import {
  bind,
  ContextVar,
  current,
  currentSignal,
  gather,
  isolateGenerator,
  openScope,
  outside,
  race,
  run,
  runInScope,
  shield,
  spawn,
  TaskGroup,
  withTaskGroup,
  withTimeout,
} from 'logical-context'
import { Pool } from 'pg'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const tenant = new ContextVar<string>('tenant')
const minute = 60_000

/** The tenant, and whether the work has a signal of its own, at each start of a query. */
let starts: (string | undefined)[] = []
const started = () => starts.push(tenant.get())

let database: PGlite
let server: PGLiteSocketServer
let close: () => Promise<unknown>
const queries: Record<string, () => PromiseLike<unknown>> = {}

beforeAll(async () => {
  database = await PGlite.create()
  server = new PGLiteSocketServer({ db: database, host: '127.0.0.1', port: 0, maxConnections: 4 })
  await server.start()
  await database.exec('create table orders (id int); insert into orders values (7)')
  const port = Number(server.getServerConn().split(':').at(-1))
  const connection = { host: '127.0.0.1', port, user: 'postgres', database: 'postgres' }

  const pool = new Pool({ ...connection, max: 1 })
  const knex = Knex({ client: 'pg', connection, pool: { min: 0, max: 1 } })
  knex.on('start', started)
  const orders = pgTable('orders', { id: integer('id') })
  const db = drizzle(database, { logger: { logQuery: started } })
  const sql = postgres({ ...connection, max: 1, fetch_types: false, debug: started })
  const kysely = new Kysely<{ orders: { id: number } }>({ dialect: new PostgresDialect({ pool }) })
  // The first query of `postgres` starts when its connection is open.
  await sql`select 1`

  queries['knex'] = () => knex('orders').select('id')
  queries['knex.raw'] = () => knex.raw('select id from orders').then(({ rows }: { rows: unknown }) => rows)
  queries['drizzle-orm'] = () => db.select({ id: orders.id }).from(orders)
  queries['drizzle-orm, execute'] = () => db.execute(drizzleSql`select id from orders`).then(({ rows }) => rows)
  queries['postgres'] = () => sql`select id from orders`
  queries['kysely'] = async () => {
    started()
    return kysely.selectFrom('orders').select('id').execute()
  }
  queries['pg'] = () => {
    started()
    return pool.query('select id from orders').then(({ rows }) => rows as unknown)
  }
  queries['bluebird'] = () =>
    new Bluebird((resolve) => {
      started()
      setImmediate(() => resolve([{ id: 7 }]))
    })
  close = async () => Promise.all([kysely.destroy(), knex.destroy(), sql.end()])
}, 60_000)

afterAll(async () => {
  await close()
  await server.stop()
  await database.close()
})

type Query = () => PromiseLike<unknown>

const steps = isolateGenerator(function* (query: Query, end: 'yield' | 'return') {
  tenant.set('acme')
  if (end === 'yield') yield query()
  return query()
})
const asyncSteps = isolateGenerator(async function* (query: Query) {
  tenant.set('acme')
  yield query()
})

/** Runs a query for acme, by code of another tenant; none of them awaits the query inside. */
const blocks: [name: string, block: (query: Query) => PromiseLike<unknown>][] = [
  ['variable.run', (query) => tenant.run('acme', query)],
  ['run', (query) => run(tenant.run('acme', current), query)],
  ['bind', (query) => tenant.run('acme', () => bind(query))()],
  ['spawn', (query) => tenant.run('acme', () => spawn(query).result())],
  ['group.spawn', (query) => tenant.run('acme', () => new TaskGroup().spawn(query).result())],
  ['spawn that shares', (query) => tenant.run('acme', () => spawn(query, { policy: 'share' }).result())],
  ['runInScope', (query) => runInScope(query, { context: tenant.run('acme', current) })],
  [
    'scope.run',
    (query) => {
      using scope = openScope('job', { context: tenant.run('acme', current) })
      return scope.run(query)
    },
  ],
  [
    'scope.listener',
    (query) => {
      const rows = Promise.withResolvers<unknown>()
      const scope = openScope('job', { context: tenant.run('acme', current) })
      scope.listener(async () => rows.resolve(await query()))()
      return rows.promise
    },
  ],
  ['withTimeout', (query) => tenant.run('acme', () => withTimeout(query, minute))],
  ['a generator that yields it', (query) => steps(query, 'yield').next().value],
  ['a generator that returns it', (query) => steps(query, 'return').next().value],
  ['an async generator that yields it', async (query) => (await asyncSteps(query).next()).value],
  ['shield', (query) => tenant.run('acme', () => shield(query))],
  ['gather', (query) => tenant.run('acme', async () => (await gather([query]))[0])],
  ['race', (query) => tenant.run('acme', () => race([query]))],
  ['the body of withTaskGroup', (query) => tenant.run('acme', () => withTaskGroup(query))],
  [
    'a task of withTaskGroup',
    (query) => tenant.run('acme', () => withTaskGroup((group) => group.spawn(query).result())),
  ],
]

describe.each(['knex', 'knex.raw', 'drizzle-orm', 'drizzle-orm, execute', 'postgres', 'kysely', 'pg', 'bluebird'])(
  'a query of %s',
  (library) => {
    it.each(blocks)('starts once, in %s', async (_, block) => {
      starts = []

      const rows = await runInScope(() => tenant.run('globex', async () => block(queries[library] as Query)))

      expect([...(rows as Iterable<unknown>)]).toEqual([{ id: 7 }])
      expect(starts).toEqual(['acme'])
    })

    it('starts outside', async () => {
      starts = []

      const rows = await runInScope(() => tenant.run('globex', async () => outside(queries[library] as Query)))

      expect([...(rows as Iterable<unknown>)]).toEqual([{ id: 7 }])
      expect(starts).toEqual([undefined])
    })
  },
)

describe('a lazy thenable', () => {
  it.each<[string, (query: () => PromiseLike<boolean>) => PromiseLike<boolean>]>([
    ['withTimeout', (query) => withTimeout(query, minute)],
    ['shield', (query) => shield(query)],
    ['withTaskGroup', (query) => withTaskGroup(query)],
  ])('starts with the signal of %s', async (_, call) => {
    const own = await runInScope(({ signal }) => {
      const lazy: PromiseLike<boolean> = { then: (done) => Promise.resolve(currentSignal() !== signal).then(done) }
      return call(() => lazy)
    })

    expect(own).toBe(true)
  })
})

describe('a callback of bluebird', () => {
  const ask = async (name: string, prepare: (fn: () => unknown) => () => unknown) =>
    runInScope(async () => {
      tenant.set(name)
      return new Bluebird<void>((resolve) => setImmediate(resolve)).then(prepare(() => tenant.get()))
    })

  it('runs in its unit if it is bound, and code after an await does', async () => {
    expect(await Promise.all(['acme', 'globex'].map((name) => ask(name, bind)))).toEqual(['acme', 'globex'])
    const awaited = runInScope(async () => {
      tenant.set('acme')
      await Bluebird.delay(1)
      return tenant.get()
    })
    expect(await awaited).toBe('acme')
  })

  it('can run in the unit of another one without it', async () => {
    const seen = await Promise.all(['acme', 'globex'].map((name) => ask(name, (fn) => fn)))

    expect(seen).not.toEqual(['acme', 'globex'])
  })
})
