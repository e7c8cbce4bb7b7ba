import { once } from 'node:events'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import { spawn } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { describe, expect, it } from 'vitest'
import { Client } from './shutdown-client.ts'
import { limitMs, longMs, Shop, soonMs } from './shutdown-shop.ts'

describe("requests during logicalContext's close", () => {
  it('are refused with Connection: close, on new connections and on those that were silent', async () => {
    const shop = await Shop.open(longMs)
    const gate = shop.gate()
    const busy = await shop.dial()
    busy.ask('/gate')
    const silent = await shop.dial()
    await gate.entered

    const { closed } = await shop.beginClose()
    const fresh = await shop.dial()
    for (const client of [silent, fresh]) client.ask('/gate')
    await Promise.all([silent.closed, fresh.closed])
    const answer = await fetch(`http://127.0.0.1:${shop.port}/gate`)
    gate.open()
    await busy.closed

    for (const { heard } of [silent, fresh]) {
      expect(heard).toMatch(/^HTTP\/1.1 503 Service Unavailable\r\nconnection: close\r\n/i)
    }
    expect([answer.status, answer.headers.get('connection')]).toEqual([503, 'close'])
    expect(busy.heard).toMatch(/whole$/)
    expect(await closed).toBeLessThan(soonMs)
    await expect(Client.open(shop.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  it('are refused after a reply that is still being sent', async () => {
    const shop = await Shop.open(longMs)
    const stream = new Readable({ read: () => {} })
    shop.app.get('/', async () => {
      stream.push('half')
      return stream
    })
    const client = await shop.dial()
    client.ask('/')
    await client.hears('half')

    const { closed } = await shop.beginClose()
    const asked = once(shop.app.server, 'request')
    client.ask('/')
    await asked
    stream.push('whole')
    stream.push(null)
    await client.closed

    expect(client.heard).toMatch(/^HTTP\/1.1 200 [^]*half[^]*whole[^]*HTTP\/1.1 503 [^]*connection: close/i)
    expect(await closed).toBeLessThan(soonMs)
  })

  it('are answered with a last reply if an option of Fastify does not refuse them', async () => {
    const shop = await Shop.open(longMs, { return503OnClosing: false })
    const gate = shop.gate()
    const busy = await shop.dial()
    busy.ask('/gate')
    await gate.entered

    const { closed } = await shop.beginClose()
    const fresh = await shop.dial()
    const asked = once(shop.app.server, 'request')
    fresh.ask('/gate')
    await asked
    gate.open()
    await Promise.all([busy.closed, fresh.closed])

    expect(fresh.heard).toMatch(/^HTTP\/1.1 200 OK\r\nconnection: close\r\n[^]*whole$/i)
    expect(await closed).toBeLessThan(soonMs)
  })
})

describe("the order of logicalContext's close", () => {
  it.each(['before', 'after'])(
    'ends tasks before a plugin that is registered %s it closes what they use',
    async (place) => {
      const order: string[] = []
      const pool = (app: Shop['app']) => app.addHook('onClose', async () => void order.push('pool ends'))
      const shop = await Shop.open(longMs, { before: (app) => place === 'before' && pool(app) })
      if (place === 'after') await shop.app.register(async (child) => void pool(child))
      shop.app.requestScopes.group.spawn(async () => {
        await delay(20)
        order.push('task')
        spawn(async () => {
          await delay(20)
          order.push('task of the task')
        })
      })

      await shop.close()

      expect(order).toEqual(['task', 'task of the task', 'pool ends'])
      expect(shop.reports).toMatchObject([{ finished: 2, unfinished: [] }])
    },
  )

  it("waits longer than Fastify's time limit for a hook", async () => {
    const shop = await Shop.open(longMs, { pluginTimeout: 50 })
    const order: string[] = []
    shop.app.addHook('preClose', async () => void order.push('preClose'))
    shop.app.addHook('onClose', async () => void order.push('onClose'))
    shop.app.get('/', async () => {
      spawn(async () => {
        await delay(150)
        order.push('task')
      })
    })
    await shop.app.inject('/')

    await shop.close()

    expect(order).toEqual(['preClose', 'task', 'onClose'])
  })

  it('waits for the tasks that are spawned in an onClose hook, and takes none after it', async () => {
    const shop = await Shop.open(longMs)
    const order: string[] = []
    const { group } = shop.app.requestScopes
    shop.app.addHook('onClose', async () => {
      group.spawn(async () => {
        await delay(20)
        order.push('flushed')
      })
    })

    await shop.close()

    expect(order).toEqual(['flushed'])
    expect(shop.reports).toMatchObject([{ finished: 1, unfinished: [] }])
    expect(() => group.spawn(() => {})).toThrow(expect.objectContaining({ code: 'LCTX_GROUP_CLOSED' }))
  })
})

describe("logicalContext's close", () => {
  it('happens once, however often it is called', async () => {
    const shop = await Shop.open(longMs)
    const gate = shop.gate()
    const client = await shop.dial()
    client.ask('/gate')
    await gate.entered

    const order: string[] = []
    const first = shop.close().then(() => order.push('first'))
    const second = shop.close().then(() => order.push('second'))
    gate.open()
    await Promise.all([first, second])
    await shop.close()

    expect(order).toEqual(['first', 'second'])
    expect(shop.reports).toHaveLength(1)
  })

  it.each(['before it is ready', 'before it listens'])('is the same %s', async (when) => {
    const shop = await Shop.open(longMs)
    if (when === 'before it listens') await shop.app.ready()
    shop.app.requestScopes.group.spawn(() => delay(20))

    expect(await shop.close()).toBeLessThan(soonMs)
    expect(shop.reports).toMatchObject([{ finished: 1, unfinished: [], unfinishedRequests: [] }])
  })

  it('waits for requests that are injected, up to its limit', async () => {
    const shop = await Shop.open(limitMs)
    const gate = shop.gate()
    const stuck = shop.gate('/stuck')
    const answer = shop.app.inject('/gate')
    void shop.app.inject('/stuck').catch(() => {})
    await Promise.all([gate.entered, stuck.entered])

    const closed = shop.close()
    gate.open()

    expect((await answer).body).toBe('whole')
    expect(await closed).toBeGreaterThan(limitMs - 2)
    expect(shop.left).toEqual(['GET /stuck'])
    stuck.open()
  })

  it('ends an app that has failed to start', async () => {
    const app = Fastify()
    const reports: unknown[] = []
    void app.register(logicalContext, { onDrained: (report) => reports.push(report) })
    void app.register(async () => {
      throw new Error('no database')
    })

    await expect(app.ready()).rejects.toThrow('no database')
    await app.close()

    expect(reports).toMatchObject([{ finished: 0, unfinished: [] }])
  })

  it('fails with what onDrained throws', async () => {
    const app = Fastify()
    await app.register(logicalContext, {
      onDrained: () => {
        throw new Error('work was lost')
      },
    })

    await expect(app.close()).rejects.toThrow('work was lost')
  })

  it("leaves the closing of Node's server alone while the app is open", async () => {
    const shop = await Shop.open(longMs)
    const [closed, task] = [Promise.withResolvers<unknown>(), Promise.withResolvers<void>()]
    await shop.listen()
    shop.app.requestScopes.group.spawn(() => task.promise)

    shop.app.server.close(closed.resolve)

    expect(await closed.promise).toBeUndefined()
    task.resolve()
  })
})
