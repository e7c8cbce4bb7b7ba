import { beforeAll, describe, expect, it } from 'vitest'
import { isAlive, startProgram, printOpenTelemetry } from './program.ts'
import { readTrees, type Row, type Tree } from './trees.ts'

describe('npm run demo', () => {
  let exit: number | NodeJS.Signals
  let stdout: string
  let stderr: string
  let trees: Tree[]

  beforeAll(async () => {
    const demo = startProgram('examples/server/demo.ts', { nodeOptions: [printOpenTelemetry] })
    exit = await demo.ended
    ;({ stdout, stderr } = demo)
    trees = readTrees(stdout)
  }, 120_000)

  /** The rows of all trees with this unit, each with its parent. */
  const rowsOf = (unit: string): (Row & { parent: Row; tree: Tree })[] =>
    trees.flatMap((tree) =>
      tree.rows
        .filter((row) => row.unit === unit)
        .map((row) => ({ ...row, parent: row.parent ?? expect.fail(`${unit} has no parent`), tree })),
    )
  const treesThat = (pattern: RegExp): Tree[] => trees.filter(({ title }) => pattern.test(title))

  it('ends with code 0, an empty stderr, and no package of OpenTelemetry but the API, which pg-boss loads', () => {
    expect({ exit, stderr: stderr.replaceAll('loads @opentelemetry/api\n', '') }).toEqual({ exit: 0, stderr: '' })
  })

  it('checks the log lines of all requests and finds none wrong', () => {
    const [, checked] = /^log lines checked: (\d+), wrong: 0$/m.exec(stdout) ?? expect.fail(stdout)

    // At least two lines for each of about eighty units.
    expect(Number(checked)).toBeGreaterThan(150)
  })

  it('draws one tree for each of a dozen requests, in plain text of 100 columns', () => {
    expect(trees.map(({ id }) => id)).toEqual(
      Array.from({ length: 12 }, (_, i) => `order-${String(i + 1).padStart(2, '0')}`),
    )
    expect(trees.map(({ rows }) => rows.filter(({ parent }) => parent === undefined).length)).toEqual(
      trees.map(() => 1),
    )
    expect(stdout.split('\n').filter((line) => line.length > 100)).toEqual([])
    expect(stdout).not.toContain('\u001B')
  })

  it('finishes each job that was enqueued, and loses none', () => {
    expect(stdout).toMatch(/^jobs enqueued: 11, finished: 11, lost: 0$/m)
  })

  it('shows the same tenant and user in all three services', () => {
    for (const { id, tenant, user, rows } of trees) {
      const requests = rows.filter(({ unit }) => unit.startsWith('POST'))

      expect(requests.map((row) => [id, row.service, row.tenant, row.user])).toEqual(
        ['gateway', 'orders', 'warehouse'].map((service) => [id, service, tenant, user]),
      )
    }
  })

  it('shows each attempt of a job that inherits in another process, below its request, in its trace', () => {
    const rows = rowsOf('send-receipt')

    expect(new Set(rows.map(({ tree }) => tree.id)).size).toBe(11)
    for (const { service, policy, tenant, user, trace, linked, parent, tree } of rows) {
      expect([service, policy, tenant, user, trace, linked]).toEqual([
        ...['worker', 'inherit', tree.tenant, tree.user],
        ...[parent.trace, false],
      ])
      expect([parent.service, parent.unit]).toEqual(['orders', 'POST /orders'])
    }
  })

  it('shows both attempts of the job whose worker was killed', () => {
    const attempts = rowsOf('send-receipt').filter(({ tree }) => tree.id === 'order-02')

    // A very slow machine can add attempts.
    expect(attempts.slice(0, 2).map(({ attempt }) => attempt)).toEqual([1, 2])
    expect(attempts[0]?.ms).toBe(0)
  })

  it('shows that a task with only the tenant reads no user', () => {
    const rows = rowsOf('reindex')

    expect(rows).toHaveLength(11)
    for (const { policy, tenant, user, trace, linked, parent, tree } of rows) {
      expect([policy, tenant, user, trace, linked]).toEqual(['only tenant', tree.tenant, '·', parent.trace, false])
    }
  })

  it('shows that an isolated task keeps the tenant in a linked trace of its own', () => {
    const rows = rowsOf('refresh-price-cache')

    expect(rows).toHaveLength(11)
    expect(new Set(rows.map(({ trace }) => trace))).toHaveLength(11)
    for (const { policy, tenant, user, trace, linked, parent, tree } of rows) {
      expect([policy, tenant, user, linked]).toEqual(['isolate', tree.tenant, '·', true])
      expect(trace).not.toBe(parent.trace)
    }
  })

  it('shows that the call of an isolated task sends only the values of the task', () => {
    const rows = rowsOf('GET /prices')

    expect(rows).toHaveLength(11)
    for (const { service, tenant, user, trace, linked, parent, tree } of rows) {
      expect([service, tenant, user, trace, linked]).toEqual(['warehouse', tree.tenant, '·', parent.trace, false])
    }
  })

  it('loses no task of a client that disconnects', () => {
    const hungUp = treesThat(/: hung up$/)

    expect(hungUp).toHaveLength(3)
    for (const { rows } of hungUp) {
      expect(rows.map(({ unit }) => unit).filter((unit) => unit !== 'send-receipt')).toEqual([
        'POST /orders',
        'POST /orders',
        'POST /reservations',
        'reindex',
        'refresh-price-cache',
        'GET /prices',
      ])
    }
  })

  it('shows a failed request, for which nothing was spawned', () => {
    const failed = treesThat(/: 500$/)

    expect(failed.map(({ rows }) => rows.map(({ unit }) => unit))).toEqual([
      ['POST /orders', 'POST /orders', 'POST /reservations'],
    ])
  })

  it('continues the trace of a request, and starts a new one if the header is bad', () => {
    const [continued] = treesThat(/own trace/)
    const [begun] = treesThat(/bad traceparent/)

    expect(continued?.rows[0]?.trace).toBe('4bf92f35')
    expect(begun?.rows[0]?.trace).toMatch(/^[0-9a-f]{8}$/)
    expect(new Set(trees.map(({ rows }) => rows[0]?.trace))).toHaveLength(12)
  })

  it('refuses the baggage of a client', () => {
    expect(treesThat(/false baggage/)).toHaveLength(1)
    expect(stdout).not.toContain('mallory')
  })

  it('reports the drain of each service, in the order of closing, and leaves no process', () => {
    const reports = [
      ...stdout.matchAll(/^(\w+) \(pid (\d+)\) drained in [\d.]+ ms: \d+ tasks finished, 0 unfinished$/gm),
    ]

    expect(reports.map(([, service]) => service)).toEqual(['gateway', 'orders', 'warehouse'])
    expect(reports.map(([, , pid]) => isAlive(Number(pid)))).toEqual([false, false, false])
  })
})
