import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { inspectorPage } from '../../scripts/inspector-page.ts'
import { pageFiles } from '../../src/inspector/page-files.ts'
import type { Row } from '../../src/inspector/row.ts'
import { nodesOf, tracesOf } from '../../inspector-page/traces.ts'

describe('the files of the page', () => {
  it('are those of its sources: `npm run inspector-page` writes them', async () => {
    const isCurrent = readFileSync('src/inspector/page-files.ts', 'utf8') === (await inspectorPage())

    expect(isCurrent).toBe(true)
  })

  it('are small', () => {
    const size = (path: string) => gzipSync(pageFiles[path]?.text ?? '').length

    expect(size('/page.js')).toBeLessThan(10_500)
    expect(Object.keys(pageFiles).reduce((sum, path) => sum + size(path), 0)).toBeLessThan(13_000)
  })
})

describe('tracesOf', () => {
  let lastId = 0
  const row = (change: Partial<Row>): Row => {
    const id = String(++lastId)
    return {
      id,
      service: 'a',
      kind: 'unit',
      name: id,
      state: 'ended',
      outcome: 'done',
      openedAt: 0,
      endedAt: 100,
      ...change,
    }
  }
  const treesOf = (...rows: Row[]) =>
    tracesOf(new Map(rows.map((own) => [own.id, own]))).map((trace) =>
      [...nodesOf(trace)].map(({ row: own }) => own.name),
    )

  it('puts a request in the place of the call that reached it', () => {
    const gateway = row({ name: 'gateway', kind: 'request', spanId: 'g' })
    const call = row({ name: 'call', kind: 'call', parent: gateway.id, openedAt: 10, endedAt: 50 })
    const orders = row({
      name: 'orders',
      kind: 'request',
      service: 'b',
      parentSpanId: 'g',
      spanId: 'o',
      openedAt: 20,
      endedAt: 40,
    })

    const [trace] = tracesOf(new Map([orders, call, gateway].map((own) => [own.id, own])))

    expect(trace?.children.map(({ row: own, via }) => [own.name, via?.name])).toEqual([['orders', 'call']])
  })

  it('keeps a call that reached no known request, and the order of calls', () => {
    const gateway = row({ name: 'gateway', spanId: 'g' })
    const first = row({ name: 'first call', kind: 'call', parent: gateway.id, openedAt: 10, endedAt: 20 })
    const second = row({ name: 'second call', kind: 'call', parent: gateway.id, openedAt: 30, endedAt: 60 })
    const reached = row({ name: 'reached', service: 'b', parentSpanId: 'g', openedAt: 40 })

    expect(treesOf(gateway, first, second, reached)).toEqual([['gateway', 'first call', 'reached']])
  })

  it('puts all attempts of a job where it was enqueued', () => {
    const orders = row({ name: 'orders', spanId: 'o' })
    const enqueue = row({ name: 'receipts', kind: 'enqueue', parent: orders.id, openedAt: 5, endedAt: 5 })
    const attempts = [1, 2].map((attempt) =>
      row({ name: 'receipts', kind: 'job', attempt, service: 'worker', parentSpanId: 'o', openedAt: 10 * attempt }),
    )

    expect(treesOf(orders, enqueue, ...attempts)).toEqual([['orders', 'receipts', 'receipts']])
  })

  it('puts linked work below its cause, and does not take a task that shares for its spawner', () => {
    const request = row({ name: 'request', spanId: 'r' })
    const shares = row({ name: 'shares', kind: 'task', policy: 'share', parent: request.id, spanId: 'r' })
    const job = row({ name: 'isolated job', kind: 'job', service: 'worker', linkSpanId: 'r', openedAt: 1 })

    expect(treesOf(request, shares, job)).toEqual([['request', 'shares', 'isolated job']])
  })

  it('ends for a trace that is a circle, and for a parent that is unknown', () => {
    const one = row({ name: 'one', spanId: 'x', parentSpanId: 'y' })
    const two = row({ name: 'two', spanId: 'y', parentSpanId: 'x' })
    const orphan = row({ name: 'orphan', parent: 'unknown', openedAt: 9 })

    expect(treesOf(one, two, orphan)).toEqual([['orphan'], ['two', 'one']])
  })
})
