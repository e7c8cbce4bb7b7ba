import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import * as fc from 'fast-check'
import { Kysely, PostgresDialect, sql } from 'kysely'
import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import { ContextVar, LogicalContext, run, runInScope } from 'logical-context'
import { sqlCommenter } from 'logical-context/clients/sqlcommenter'
import { requestId, TraceContext, traceContext, Tracestate } from 'logical-context/variables'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type Postgres, postgresProgram, startPostgres } from '../servers/postgres.ts'

const tenant = new ContextVar<string>('tenant')
const route = new ContextVar<string>('route')
const token = new ContextVar<string>('token', { sensitive: true })
const trace = new TraceContext({
  traceId: '5bd66ef5095369c7b0d1f8f4bd33716a',
  spanId: 'c532cb4098ac3dd2',
  flags: 1,
  state: Tracestate.parse('congo=t61rcWkgMzE,rojo=00f067aa0ba902b7'),
})
const { append } = sqlCommenter({ fields: { tenant, route } })

describe('sqlCommenter', () => {
  it('appends the pairs of the specification, sorted by key', () => {
    const context = LogicalContext.empty.with(traceContext, trace).with(route, '/param*d').with(tenant, "name'' ü")

    expect(run(context, append, 'SELECT * FROM FOO')).toBe(
      "SELECT * FROM FOO /*route='%2Fparam%2Ad',tenant='name\\'\\'%20%C3%BC'," +
        "traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'," +
        "tracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00f067aa0ba902b7'*/",
    )
  })

  it.each([
    ['select 1', "select 1 /*tenant='a'*/"],
    ['select 1;', "select 1 /*tenant='a'*/;"],
    ['select 1 ;\n', "select 1  /*tenant='a'*/;"],
    ['select 1 /* mine */', 'select 1 /* mine */'],
    ['select 1 -- mine', 'select 1 -- mine'],
  ])('writes %j as %j', (statement, expected) => {
    expect(tenant.run('a', () => append(statement))).toBe(expected)
  })

  it('leaves a statement unchanged without a context', () => {
    expect(append('select 1')).toBe('select 1')
  })

  it('writes texts, numbers and booleans, and the result of format', () => {
    const value = new ContextVar<unknown>('value')
    const of = (given: unknown, format?: (value: never) => string | undefined) => {
      const commenter = sqlCommenter({ fields: { v: format === undefined ? value : { variable: value, format } } })
      return value.run(given, () => commenter.append('select 1'))
    }

    expect(of(7)).toBe("select 1 /*v='7'*/")
    expect(of(true)).toBe("select 1 /*v='true'*/")
    expect(of({ id: 7 }, ({ id }: { id: number }) => `u${id}`)).toBe("select 1 /*v='u7'*/")
    expect([of({}), of(null), of(''), of('a'.repeat(1025)), of(7, () => undefined)]).toEqual(
      Array.from({ length: 5 }, () => 'select 1'),
    )
  })

  it.each<[options: unknown, message: string]>([
    [{ fields: { token } }, "sqlCommenter: field 'token': expected a variable that may be logged, got the sensitive"],
    [{ fields: { a: {} } }, "sqlCommenter: field 'a': expected a ContextVar or { variable, format }"],
    [{ fields: { '': tenant } }, "sqlCommenter: field '': expected a key that is not empty and not one of the trace"],
    [{ fields: { traceparent: tenant } }, "sqlCommenter: field 'traceparent': expected a key that is not empty"],
    [{ fields: [tenant] }, "sqlCommenter: option 'fields' expected an object of variables"],
    [{ tags: {} }, "sqlCommenter: unknown option 'tags', expected one of: fields, trace."],
  ])('throws a TypeError for %o', (options, message) => {
    expect(() => sqlCommenter(options as never)).toThrow(message)
    expect(() => sqlCommenter(options as never)).toThrow(TypeError)
  })

  it('wraps a client only', () => {
    expect(() => sqlCommenter().wrap({} as never)).toThrow(/^sqlCommenter, wrap: expected a Pool or a Client of pg/)
  })

  it('changes neither named queries nor query objects', async () => {
    const seen: unknown[] = []
    const client = sqlCommenter({ fields: { tenant } }).wrap({ query: (query: unknown) => seen.push(query) })
    const [named, cursor] = [
      { name: 'q', text: 'select 1' },
      { text: 'select 1', submit() {} },
    ]

    tenant.run('a', () => {
      client.query(named)
      client.query(cursor)
      client.query({ text: 'select $1', values: [1] })
    })

    expect(seen).toEqual([named, cursor, { text: "select $1 /*tenant='a'*/", values: [1] }])
    expect([seen[0], seen[1]].map((query, i) => query === [named, cursor][i])).toEqual([true, true])
  })

  it('keeps the values of a query whose class has getters, as those of template libraries have', () => {
    class Statement {
      readonly #values = ['acme']
      readonly rowMode = 'array'
      get text() {
        return 'select $1'
      }
      get values() {
        return this.#values
      }
    }
    const seen: unknown[] = []
    const client = sqlCommenter({ fields: { tenant } }).wrap({ query: (query: unknown) => seen.push(query) })

    tenant.run('a', () => client.query(new Statement()))

    expect(seen).toEqual([{ text: "select $1 /*tenant='a'*/", values: ['acme'], rowMode: 'array' }])
  })

  it(
    'writes no key and no value that ends the comment, in the parser of PostgreSQL',
    { timeout: 120_000 },
    async () => {
      const database = await PGlite.create()
      onTestFinished(() => database.close())
      const hostile = fc.oneof(
        fc.string({ unit: 'binary', maxLength: 40 }),
        fc
          .array(
            fc.constantFrom('*/', '/*', "'", '\\', '--', '\n', '\0', '%', '$1', ';', "');drop table t;--", '\ud800'),
            {
              maxLength: 10,
            },
          )
          .map((parts) => parts.join('')),
      )

      await fc.assert(
        fc.asyncProperty(hostile, hostile, async (key, value) => {
          const commenter = sqlCommenter({ fields: { [`k${key}`]: tenant } })
          const text = tenant.run(value, () => commenter.append('select 1 as one'))

          expect(text).toMatch(/^select 1 as one(?: \/\*[\w.!~'()%=\\-]*\*\/)?$/)
          expect(text.slice('select 1 as one /*'.length, -2)).not.toMatch(/\/\*|\*\//)
          expect((await database.query(text)).rows).toEqual([{ one: 1 }])
        }),
        { seed: Number(process.env['PROPERTY_SEED'] ?? 1), numRuns: 500 },
      )
    },
  )
})

describe.skipIf(postgresProgram === undefined)('sqlCommenter, with PostgreSQL', () => {
  let server: Postgres
  beforeAll(async () => {
    server = await startPostgres({
      log_min_duration_statement: '0',
      logging_collector: 'on',
      log_directory: 'log',
      log_filename: 'postgres.log',
    })
  }, 60_000)
  afterAll(async () => server.stop())

  function openPool(max: number): Pool {
    const pool = new Pool({ connectionString: server.url, max })
    // `end()` does not wait for the connections, which the server can end first.
    pool.on('error', () => {}).on('connect', (client) => client.on('error', () => {}))
    onTestFinished(() => pool.end())
    return pool
  }

  const running = 'select query from pg_stat_activity where pid = pg_backend_pid()'

  it('names the request of a query of a pool, of its clients and of Kysely', async () => {
    const pool = openPool(2)
    const commented = sqlCommenter({ fields: { request_id: requestId }, trace: false }).wrap(pool)
    const database = new Kysely<Record<string, never>>({ dialect: new PostgresDialect({ pool: commented }) })

    const queryAs = (id: string) =>
      runInScope(async () => {
        requestId.set(id)
        const client = await commented.connect()
        const byClient = await client.query<{ query: string }>(running).finally(() => client.release())
        const byPool = await commented.query<{ query: string }>(running)
        const byCallback = await new Promise<string>((resolve, reject) => {
          commented.connect((error, connected, release) => {
            if (connected === undefined) return reject(error)
            connected.query<{ query: string }>(running, (_error, { rows }) => {
              release()
              resolve(String(rows[0]?.query))
            })
          })
        })
        const byKysely = await sql<{ query: string }>`${sql.raw(running)}`.execute(database)
        return [byClient.rows[0]?.query, byPool.rows[0]?.query, byCallback, byKysely.rows[0]?.query]
      })

    const answers = await Promise.all(['r-1', 'r-2', 'r-3'].map(queryAs))

    const expected = (id: string) => Array.from({ length: 4 }, () => `${running} /*request_id='${id}'*/`)
    expect(answers).toEqual(['r-1', 'r-2', 'r-3'].map(expected))
  })

  it('names the request of a query of Drizzle, also in a transaction', async () => {
    const pool = openPool(2)
    const activity = pgTable('pg_stat_activity', { query: text('query'), pid: integer('pid') })
    const commented = sqlCommenter({ fields: { request_id: requestId }, trace: false }).wrap(pool)
    const database = drizzle(commented)
    const own = drizzleSql`${activity.pid} = pg_backend_pid()`

    const queryAs = (id: string) =>
      runInScope(async () => {
        requestId.set(id)
        const bySelect = await database.select().from(activity).where(own)
        const byRaw = await database.execute<{ query: string }>(drizzleSql.raw(running))
        const inTransaction = await database.transaction((transaction) =>
          transaction.select().from(activity).where(own),
        )
        return [bySelect[0]?.query, byRaw.rows[0]?.query, inTransaction[0]?.query]
      })

    const answers = await Promise.all(['d-1', 'd-2', 'd-3'].map(queryAs))

    const comments = answers.map((texts) => texts.map((query) => query?.match(/ \/\*.*$/)?.[0]))
    expect(comments).toEqual(
      ['d-1', 'd-2', 'd-3'].map((id) => Array.from({ length: 3 }, () => ` /*request_id='${id}'*/`)),
    )
  })

  it('names the trace and the fields in the log of slow queries, with parameters too', async () => {
    const pool = openPool(1)
    const commented = sqlCommenter({ fields: { tenant, token_owner: route } }).wrap(pool)
    const hostile = "*/ drop table t; -- '\n%"

    await runInScope(
      async () => {
        tenant.set('acme')
        route.set(hostile)
        await commented.query('select pg_sleep(0.002)')
        await commented.query('select pg_sleep($1)', [0.002])
      },
      { context: LogicalContext.empty.with(traceContext, trace) },
    )

    const lines = async () => {
      const log = await readFile(join(server.data, 'log', 'postgres.log'), 'utf8')
      return log.split('\n').filter((line) => /(?:statement|execute <unnamed>): .*pg_sleep/.test(line))
    }
    await expect.poll(lines).toHaveLength(2)
    const comment =
      String.raw`/*tenant='acme',token_owner='%2A%2F%20drop%20table%20t%3B%20--%20\'%0A%25',` +
      `traceparent='00-${trace.traceId}-${trace.spanId}-01',tracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00f067aa0ba902b7'*/`
    const statements = (await lines()).map((line) => line.match(/duration: [\d.]+ ms {2}(.*)$/)?.[1])
    expect(statements).toEqual([
      `statement: select pg_sleep(0.002) ${comment}`,
      `execute <unnamed>: select pg_sleep($1) ${comment}`,
    ])
  })
})
