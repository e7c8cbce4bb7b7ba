import { setTimeout } from 'node:timers/promises'
import Fastify from 'fastify'
import { ContextVar, runInScope, spawn, TaskGroup } from 'logical-context'
import { contextFetch } from 'logical-context/clients/fetch'
import { doctor } from 'logical-context/doctor'
import { inspector, inspectorHandler } from 'logical-context/inspector'
import { Messages } from 'logical-context/messages/message'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { EventReader } from './event-reader.ts'
import { appWith, handlerWith } from './served.ts'

const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
const user = new ContextVar<string>('user')
const password = new ContextVar<string>('password', { sensitive: true })
const fields = { tenant, user }

/** Work that ends when the test says so. */
function gate() {
  const { promise, resolve } = Promise.withResolvers<void>()
  onTestFinished(() => resolve())
  return { opened: promise, open: resolve }
}

describe('the rows of the inspector', () => {
  it('are those of a request, its tasks by policy, and what each of them saw of the declared fields', async () => {
    const { url, page } = await appWith({ fields }, (app) =>
      app.get('/orders/:id', async () => {
        tenant.set('acme')
        user.set('ann')
        spawn(() => user.set('task'), { name: 'inherits' })
        spawn(() => setTimeout(1), { name: 'isolated', policy: 'isolate' })
        spawn(() => setTimeout(1), { name: 'only', policy: { only: [tenant] } })
        spawn(() => setTimeout(1), { name: 'except', policy: { except: [tenant] } })
        spawn(() => user.set('bob'), { name: 'shares', policy: 'share' })
        return 'ok'
      }),
    )
    const events = await EventReader.open(page)

    await fetch(`${url}/orders/1?token=secret`)

    const request = await events.row('GET /orders/:id')
    const tasks = await Promise.all(
      ['inherits', 'isolated', 'only', 'except', 'shares'].map((name) => events.row(name)),
    )
    expect(request).toMatchObject({ kind: 'request', service: 'shop', status: 200, outcome: 'done' })
    expect(request.fields).toEqual({ tenant: [null, 'acme'], user: [null, 'bob'] })
    expect(tasks.map(({ policy, fields: seen }) => [policy, seen?.['tenant'], seen?.['user']])).toEqual([
      ['inherit', ['acme', 'acme'], ['ann', 'task']],
      ['isolate', ['acme', 'acme'], undefined],
      ['only tenant', ['acme', 'acme'], undefined],
      ['except tenant', ['acme', 'acme'], ['ann', 'ann']],
      ['share', ['acme', 'acme'], ['ann', 'bob']],
    ])
    for (const task of tasks) expect(task).toMatchObject({ kind: 'task', parent: request.id, group: 'background' })
    const [inherits, isolated, , , shares] = tasks
    expect([inherits?.traceId, inherits?.parentSpanId]).toEqual([request.traceId, request.spanId])
    expect([isolated?.linkSpanId, isolated?.traceId === request.traceId]).toEqual([request.spanId, false])
    expect(shares?.spanId).toBe(request.spanId)
    expect(events.text).not.toContain('secret')
  })

  it('never have a sensitive value, and no value that is not declared', async () => {
    const other = new ContextVar<string>('other')
    const { url, page } = await appWith({ fields }, (app) =>
      app.get('/', async () => {
        password.set('canary-password')
        other.set('canary-other')
        spawn(() => Promise.reject(new Error(`wrong: ${password.get()}`)), { name: 'login', onError() {} })
        return password.get()
      }),
    )
    const events = await EventReader.open(page)

    await fetch(url)

    expect(await events.row('login')).toMatchObject({ outcome: 'failed', reason: 'Error: wrong: [sensitive]' })
    await events.row('GET /')
    expect(events.text).not.toContain('canary')
  })

  it('change while the work runs', async () => {
    const { opened, open } = gate()
    const { url, page } = await appWith({ fields }, (app) =>
      app.get('/', async () => {
        tenant.set('acme')
        await opened
        return 'ok'
      }),
    )
    const events = await EventReader.open(page)

    const answer = fetch(url)
    const running = await events.row('GET /', 'running')
    open()
    await answer
    const ended = await events.row('GET /')

    expect([running.id, running.endedAt, running.fields?.['tenant']]).toEqual([ended.id, undefined, [null, 'acme']])
  })

  it('show a task that waits in a full group, and the counters of the group', async () => {
    const group = new TaskGroup({ name: 'mail', maxConcurrent: 1, maxQueued: 1 })
    const { opened, open } = gate()
    const { url, page } = await appWith({}, (app) =>
      app.get('/', async () => {
        group.spawn(() => opened, { name: 'first' })
        group.spawn(() => {}, { name: 'second' })
        expect(() => group.spawn(() => {}, { name: 'third' })).toThrow('is full')
        return 'ok'
      }),
    )
    const events = await EventReader.open(page)

    await fetch(url)
    const second = await events.row('second', 'waiting')
    await events.until(() => events.statuses[0]?.groups.some(({ queued }) => queued === 1) === true)

    expect([second.group, second.reason]).toEqual(['mail', undefined])
    expect(await events.row('third')).toMatchObject({ outcome: 'refused', group: 'mail' })
    expect(events.statuses[0]?.groups).toContainEqual({
      name: 'mail',
      running: 1,
      queued: 1,
      waiting: 0,
      failed: 0,
      refused: 1,
    })
    open()
    expect(await events.row('second')).toMatchObject({ outcome: 'done', startedAt: expect.any(Number) })
  })

  it('have the reason of failed and cancelled work', async () => {
    const { page, url } = await appWith({}, (app) => {
      app.get('/fails', () => Promise.reject(new Error('broken')))
      app.get('/slow', async ({ requestScope: { signal } }) => setTimeout(10_000, 'late', { signal }))
    })
    const events = await EventReader.open(page)

    await fetch(`${url}/fails`)
    const client = new AbortController()
    const slow = fetch(`${url}/slow`, { signal: client.signal }).catch(() => {})
    await events.row('GET /slow', 'running')
    client.abort()
    await slow

    expect(await events.row('GET /fails')).toMatchObject({ outcome: 'failed', status: 500 })
    expect(await events.row('GET /slow')).toMatchObject({
      outcome: 'cancelled',
      reason: expect.stringContaining('LCTX_CLIENT_GONE'),
    })
  })

  it('have calls, and a call that its caller cancels is not a failure', async () => {
    const { page, url } = await appWith({}, (app) => {
      app.get('/', async () => {
        await contextFetch(`${url}/broken?token=secret`)
        const own = new AbortController()
        const slow = contextFetch(`${url}/slow`, { signal: own.signal }).catch(() => {})
        own.abort()
        await slow
        await contextFetch('http://127.0.0.1:1/').catch(() => {})
        return 'ok'
      })
      app.get('/broken', (_, reply) => reply.code(503).send())
      app.get('/slow', async ({ requestScope: { signal } }) => setTimeout(10_000, 'late', { signal }))
    })
    const events = await EventReader.open(page)

    await fetch(url)
    const caller = await events.row('GET /')

    const calls = [...events.rows.values()].filter(({ kind }) => kind === 'call')
    expect(calls.map(({ name, outcome, status }) => [name, outcome, status])).toEqual([
      [`GET ${url}/broken`, 'failed', 503],
      [`GET ${url}/slow`, 'cancelled', undefined],
      ['GET http://127.0.0.1:1/', 'failed', undefined],
    ])
    expect(calls.map(({ parent }) => parent)).toEqual([caller.id, caller.id, caller.id])
    expect(await events.row('GET /broken')).toMatchObject({ traceId: caller.traceId, parentSpanId: caller.spanId })
  })

  it('have the enqueue and each attempt of a job', async () => {
    const { page } = await handlerWith({ fields })
    const messages = new Messages('messages', { propagators: [w3cTraceContext(), w3cBaggage({ members: { user } })] })
    const events = await EventReader.open(page)

    const carried = runInScope(() => {
      user.set('ann')
      return messages.capture('receipts')
    })
    const job = { queue: 'receipts', name: 'print', attempt: 2, fields: carried }
    await messages.process(job as never, () => Promise.reject(new Error('no paper'))).catch(() => {})

    expect(await events.row('receipts')).toMatchObject({ kind: 'enqueue', policy: 'inherit', outcome: 'done' })
    expect(await events.row('receipts print')).toMatchObject({
      kind: 'job',
      policy: 'inherit',
      attempt: 2,
      outcome: 'failed',
      reason: 'Error: no paper',
      fields: { user: ['ann', 'ann'] },
    })
  })

  it('have the late uses of their variables', async () => {
    const { page } = await handlerWith()
    const events = await EventReader.open(page)

    runInScope(
      () => {
        void setTimeout(20).then(() => user.get())
      },
      { name: 'import', onLateUse() {} },
    )

    await events.until(() => [...events.rows.values()].some(({ notes }) => notes?.[0] === 'late read of user'))
    expect(events.statuses.at(-1)).toBeDefined()
    await events.until(() => events.statuses[0]?.findings.length === 1)
    expect(events.statuses[0]).toMatchObject({
      doctor: false,
      findings: [{ kind: 'late', what: "read of 'user' after the end of 'import'", count: 1 }],
    })
  })

  it('do not include the requests of the inspector itself', async () => {
    const { page, url } = await appWith({}, (app) => app.get('/', async () => 'ok'))
    const events = await EventReader.open(page)

    await fetch(`${page}/`)
    await fetch(`${page}/nothing`)
    await fetch(url)
    await events.row('GET /')

    expect([...events.rows.values()].map(({ name }) => name)).toEqual(['GET /'])
  })
})

describe('the status of the inspector', () => {
  it('has the findings of the doctor, with their call sites', async () => {
    const on = doctor({ onFinding() {}, summary: false })
    onTestFinished(() => on.stop())
    const { page } = await handlerWith()
    const events = await EventReader.open(page)

    runInScope(() => user.set('ann'))
    user.get()

    await events.until(() => events.statuses[0]?.findings.length === 1)
    expect(events.statuses[0]).toMatchObject({
      doctor: true,
      findings: [
        {
          what: "read of 'user' outside any unit",
          callSite: expect.stringContaining('inspector.test.ts'),
          advice: expect.any(String),
        },
      ],
    })
  })

  it('shows the close of the server until its end, and the close does not wait for the page', async () => {
    const { opened, open } = gate()
    const { app, url, page } = await appWith({}, (server) =>
      server.get('/', async () => {
        spawn(() => opened, { name: 'receipt' })
        return 'ok'
      }),
    )
    const events = await EventReader.open(page)
    await fetch(url)
    await events.row('receipt', 'running')

    const closed = app.close()
    await events.until(() => events.statuses[0]?.drains.length === 1)
    const [during] = events.statuses
    open()
    await closed
    await events.until(() => events.isOver)

    expect(during?.drains).toMatchObject([{ group: 'background', timeoutMs: 2000, unitsLeft: 0, tasksLeft: 1 }])
    expect(events.statuses[0]?.drains).toMatchObject([
      { reachedLimit: false, tasksLeft: 0, endedAt: expect.any(Number) },
    ])
    expect(await events.row('receipt')).toMatchObject({ outcome: 'done' })
  })

  it('shows the work that a close leaves at its limit', async () => {
    const { opened } = gate()
    const { app, url, page } = await appWith(
      {},
      (server) => server.get('/', async () => void spawn(() => opened, { name: 'stuck' })),
      { drainTimeoutMs: 100 },
    )
    const events = await EventReader.open(page)
    await fetch(url)

    await app.close()
    await events.until(() => events.isOver)

    expect(events.statuses[0]?.drains).toMatchObject([{ reachedLimit: true, tasksLeft: 1 }])
    expect(await events.row('stuck', 'running')).toMatchObject({ notes: ['aborted at the limit of a drain'] })
  })

  it('does not keep a server open that has no plugin for the context', async () => {
    const app = Fastify()
    await app.register(inspector)
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    const events = await EventReader.open(`${url}/__context`)

    await app.close()

    await events.until(() => events.isOver)
  })
})

describe('the stream of the inspector', () => {
  it('continues after the last event that a client has', async () => {
    const { page } = await handlerWith()
    const first = await EventReader.open(page)
    runInScope(() => {}, { name: 'seen' })
    await first.row('seen')
    first.close()

    runInScope(() => {}, { name: 'missed' })
    const second = await EventReader.open(page, { 'last-event-id': first.lastId })
    await second.row('missed')

    expect([first.resets, second.resets]).toEqual([1, 0])
    expect([...second.rows.values()].map(({ name }) => name)).toEqual(['missed'])
  })

  it.each(['', 'nonsense', '00000000.1', '-1'])('begins again for the unknown last event %j', async (lastId) => {
    const { page } = await handlerWith()
    runInScope(() => {}, { name: 'before' })

    const events = await EventReader.open(page, { 'last-event-id': lastId })

    await events.row('before')
    expect(events.resets).toBe(1)
  })

  it('is refused if too many pages are open', async () => {
    const { page } = await handlerWith()
    await Promise.all(Array.from({ length: 32 }, () => EventReader.open(page)))

    expect((await fetch(`${page}/events`)).status).toBe(503)
  })

  it('has a bounded size, and keeps work that has not ended', async () => {
    const { opened } = gate()
    const { page } = await handlerWith({ maxRows: 20, maxUnitsPerSecond: 1000 })
    const stuck = runInScope(() => opened, { name: 'stuck' })
    for (let i = 0; i < 200; i++) runInScope(() => {}, { name: `unit ${i}` })

    const events = await EventReader.open(page)
    await events.row('unit 199')
    await events.until(() => events.statuses.length > 0)

    expect(events.rows.size).toBe(20)
    expect(await events.row('stuck', 'running')).toBeDefined()
    expect(events.statuses[0]?.omitted.replaced).toBe(181)
    void stuck
  })

  it('records a part of the units if there are too many, and counts the others', async () => {
    const { page } = await handlerWith({ maxUnitsPerSecond: 10 })
    for (let i = 0; i < 100; i++) {
      runInScope(() => spawn(() => Promise.reject(new Error('broken')), { onError() {} }), { name: 'unit' })
    }
    await setTimeout(1)

    const events = await EventReader.open(page)
    await events.until(() => events.statuses.length > 0)

    const units = [...events.rows.values()].filter(({ kind }) => kind === 'unit')
    expect(units.length).toBeLessThanOrEqual(20)
    expect(units.length + (events.statuses[0]?.omitted.units ?? 0)).toBe(100)
    expect(events.statuses[0]?.omitted.failures).toBeGreaterThanOrEqual(80)
  })
})

describe('the option services', () => {
  const trusting = { trust: 'loopback', propagators: [w3cTraceContext(), xRequestId()] } as const

  it('merges the rows of other processes by their trace', async () => {
    const orders = await appWith({ service: 'orders' }, (app) => app.get('/orders', async () => 'ok'), trusting)
    const gateway = await appWith({ service: 'gateway', services: [orders.page] }, (app) =>
      app.get('/', () => contextFetch(`${orders.url}/orders`)),
    )
    const events = await EventReader.open(gateway.page)

    await fetch(gateway.url)

    // Both apps are in this process, so each inspector sees both.
    await events.until(
      () =>
        [...events.rows.values()].filter(({ name, state }) => name === 'GET /orders' && state === 'ended').length === 2,
    )
    const [own, other] = [...events.rows.values()]
      .filter(({ name }) => name === 'GET /orders')
      .toSorted((a, b) => a.service.localeCompare(b.service))
    expect([own?.service, other?.service, own?.traceId]).toEqual(['gateway', 'orders', other?.traceId])
    expect(events.statuses).toMatchObject([
      { service: 'gateway', state: 'live' },
      { service: 'orders', state: 'live', url: orders.page },
    ])
  })

  it('sends headers for the guard of the other one, and shows a refusal', async () => {
    const guard = ({ headers }: { headers: Record<string, unknown> }) => headers['authorization'] === 'Bearer key'
    const orders = await handlerWith({ service: 'orders', guard })
    const services = [
      { url: orders.page, headers: { authorization: 'Bearer key' } },
      orders.page,
      'http://127.0.0.1:1/__context',
    ]
    const { page } = await handlerWith({ services })

    const events = await EventReader.open(page)

    await events.until(() => events.statuses[1]?.state === 'live' && events.statuses[2]?.state === 'refused')
    await events.until(() => events.statuses[3]?.state === 'unreachable')
  })

  it('marks what was open in a service that is gone', async () => {
    const { opened } = gate()
    const orders = await handlerWith({ service: 'orders' })
    const { page } = await handlerWith({ services: [orders.page] })
    const events = await EventReader.open(page)
    void runInScope(() => opened, { name: 'stuck' })
    await events.until(() => [...events.rows.values()].filter(({ name }) => name === 'stuck').length === 2)

    orders.server.close().closeAllConnections()

    await events.until(() =>
      [...events.rows.values()].some(({ service, outcome }) => service === 'orders' && outcome === 'lost'),
    )
  })

  it('connects only while a page is open', async () => {
    let connections = 0
    const orders = await handlerWith({ service: 'orders' })
    orders.server.on('request', () => connections++)
    const { page } = await handlerWith({ services: [orders.page] })
    expect(connections).toBe(0)

    const events = await EventReader.open(page)
    await events.until(() => events.statuses[1]?.state === 'live')
    events.close()

    await vi.waitUntil(
      async () =>
        (await new Promise<number>((resolve) => orders.server.getConnections((_, count) => resolve(count)))) === 0,
    )
    expect(connections).toBe(1)
  })
})

describe('inspectorHandler().close()', () => {
  it('ends its streams and stops to record', async () => {
    const handler = inspectorHandler()

    handler.close()
    handler.close()

    const { channels } = await import('logical-context/channels')
    expect(Object.values(channels).filter(({ hasSubscribers }) => hasSubscribers)).toEqual([])
  })
})
