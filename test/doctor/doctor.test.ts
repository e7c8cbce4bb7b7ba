import { AsyncResource } from 'node:async_hooks'
import { EventEmitter, on, once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { Agent, createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import Fastify from 'fastify'
import * as fastq from 'fastq'
import { createPool } from 'generic-pool'
import { bind, bindEmitter, ContextVar, openScope, outside, runInScope, spawn } from 'logical-context'
import { contextLogger, pinoMixin } from 'logical-context/bridges/pino'
import { doctor, type Finding } from 'logical-context/doctor'
import logicalContext from 'logical-context/middleware/fastify'
import { pino } from 'pino'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { knownLibraries } from '../../src/doctor/libraries.ts'
import { remedies } from '../../src/doctor/remedies.ts'
import { anchorsOf } from '../docs/links.ts'

const user = new ContextVar<string>('user')

/** A doctor that ends with the test. It prints nothing. */
function open(): { readonly found: string[]; readonly findings: () => readonly Finding[] } {
  const on = doctor({ onFinding() {}, summary: false })
  onTestFinished(() => on.stop())
  return {
    get found() {
      return on.findings.map(({ what, count, remedy }) => `${count} × ${what}: ${remedy.name}`)
    },
    findings: () => on.findings,
  }
}

describe('doctor', () => {
  it('reports a read outside any unit of a variable that a request set before', () => {
    const { findings } = open()
    runInScope(() => user.set('ann'))

    user.get()

    expect(findings()).toMatchObject([
      { kind: 'outside', what: "read of 'user' outside any unit", count: 1, remedy: { name: 'run in a unit' } },
    ])
    expect(findings()[0]?.callSite).toMatch(/test\/doctor\/doctor\.test\.ts:\d+:\d+$/)
  })

  it('reports a read before the request that sets the variable, also while that request runs', () => {
    const opened = open()
    const other = new ContextVar<string>('other')
    user.get()
    other.get()
    expect(opened.found).toEqual([])

    const scope = openScope('request')
    scope.run(() => user.set('ann'))

    expect(opened.found).toEqual(["1 × read of 'user' outside any unit: run in a unit"])
    scope.close()
    expect(opened.found).toHaveLength(1)
  })

  it('counts a job as in progress until its promise has settled, with what it sets after an await', async () => {
    const opened = open()
    const item = new ContextVar<string>('item')
    const [set, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const job = runInScope(async () => {
      await set.promise
      item.set('tea')
      await end.promise
    })
    set.resolve()
    await set.promise

    item.get()
    end.resolve()
    await job

    expect(opened.found).toEqual(["1 × read of 'item' outside any unit: bind"])
  })

  it('advises to bind an EventTarget whose listener reads outside any unit', () => {
    const opened = open()
    const target = new EventTarget()
    const scope = openScope('request')
    scope.run(() => {
      user.set('ann')
      target.addEventListener('order', () => user.get())
    })

    target.dispatchEvent(new Event('order'))
    scope.close()

    expect(opened.found).toEqual(["1 × read of 'user' outside any unit: bindEmitter"])
  })

  it('keeps no listener that was removed', async () => {
    open()
    const bus = new EventEmitter()
    const [first] = runInScope(() =>
      Array.from({ length: 101 }, () => {
        const listener = () => {}
        bus.on('order', listener).off('order', listener)
        return new WeakRef(listener)
      }),
    )
    await new Promise((resolve) => setImmediate(resolve))
    ;(globalThis as unknown as { gc(): void }).gc()

    expect(first?.deref()).toBeUndefined()
  })

  it('reports each call site once, with a count and the line', () => {
    const calls: Finding[] = []
    const on = doctor({ onFinding: (finding) => calls.push(finding), summary: false })
    onTestFinished(() => on.stop())
    runInScope(() => user.set('ann'))

    for (let i = 0; i < 3; i++) user.get()
    user.get()

    expect(calls.map(({ count }) => count)).toEqual([1, 1])
    expect(on.findings.map(({ count }) => count)).toEqual([3, 1])
  })

  it('reports a call site once, also if the event and the unit have another name each time', () => {
    const opened = open()
    const bus = new EventEmitter()
    for (const id of [1, 2]) runInScope(() => bus.once(`reply ${id}`, () => {}))
    runInScope(() => [1, 2].forEach((id) => bus.emit(`reply ${id}`)))
    for (const id of [1, 2]) {
      const scope = openScope(`job ${id}`, { onLateUse() {} })
      const late = scope.run(() => bind(() => user.get()))
      scope.close()
      late()
    }

    expect(opened.found).toEqual([
      "2 × listener of 'reply 1' of one request ran in another: bind",
      "2 × read of 'user' after the end of 'job 1': await or spawn",
    ])
  })

  it('reports a write and a spawn outside any unit', () => {
    const opened = open()

    expect(() => user.set('ann')).toThrow('outside any unit')
    expect(() => spawn(() => {})).toThrow('outside any unit')

    expect(opened.found).toEqual([
      "1 × ContextVar 'user': set() outside any unit: run in a unit",
      '1 × spawn() outside any unit: run in a unit',
    ])
  })

  it('reports a getOrThrow outside any unit once, also before a request sets the variable', () => {
    const opened = open()
    const item = new ContextVar<string>('item')
    for (let i = 0; i < 2; i++) {
      expect(() => item.getOrThrow()).toThrow('outside any unit')
      runInScope(() => item.set('tea'))
    }

    expect(opened.found).toEqual(["2 × read of 'item' outside any unit: run in a unit"])
  })

  it('reports late reads and writes', () => {
    const opened = open()
    let late = () => {}
    const scope = openScope('request', { lateWrites: 'report', onLateUse() {} })
    scope.run(() => {
      late = bind(() => {
        user.get()
        user.set('bob')
      })
    })
    scope.close()

    late()

    expect(opened.found).toEqual([
      "1 × read of 'user' after the end of 'request': await or spawn",
      "1 × write of 'user' after the end of 'request': await or spawn",
    ])
  })

  it('names the package that emits, and not the emitter of Node', async () => {
    const opened = open()
    runInScope(() => user.set('ann'))
    const failing = { create: async () => Promise.reject(new Error('no connection')), destroy: async () => {} }
    const pool = createPool(failing, { autostart: false, min: 1 })
    const called = Promise.withResolvers<void>()
    pool.once('factoryCreateError', () => {
      user.get()
      called.resolve()
    })

    pool.start()
    await called.promise
    await pool.drain()

    expect(opened.findings().map(({ library }) => library)).toEqual(['generic-pool'])
  })

  it('advises also to bind a late callback that a package calls', async () => {
    const opened = open()
    const queue = fastq.default((_job: number, done) => void setImmediate(() => done(null)), 1)
    const options = { name: 'request', onLateUse() {} }
    const called = Promise.withResolvers<void>()

    runInScope(() => queue.push(1, () => {}), options)
    runInScope(() => {
      const callback = () => {
        user.get()
        called.resolve()
      }
      queue.push(2, callback)
    }, options)
    await called.promise

    const [finding] = opened.findings()
    expect([finding?.kind, finding?.library, finding?.remedy.name]).toEqual(['late', 'fastq', 'await or spawn'])
    expect(finding?.remedy.advice).toMatch(/ If fastq calls this code for another request, wrap it: bind\(fn\)\.$/)
  })

  it.each([
    [
      'a listener outside any unit',
      (listener: () => void) => new EventEmitter().on('order', listener).emit('order'),
      'bindEmitter(emitter). If requests share it, wrap each callback: bind(fn).',
    ],
    [
      'a function outside any unit',
      (listener: () => void) => listener(),
      'If it belongs to no request: runInScope(fn).',
    ],
    [
      'a listener that its unit left',
      (listener: () => void) => {
        const bus = new EventEmitter()
        const emit = runInScope(() => bus.on('order', listener) && bind(() => bus.emit('order')), { onLateUse() {} })
        emit()
      },
      'Remove a listener at the end of its unit.',
    ],
  ])('advises what to do about %s while a request runs', (_, call, advice) => {
    const opened = open()
    const scope = openScope('request')
    scope.run(() => user.set('ann'))

    call(() => user.get())

    const [finding] = opened.findings()
    scope.close()
    expect(finding?.remedy.advice.endsWith(advice)).toBe(true)
  })

  it.each([
    ['contextLogger', (stream: { write(): void }) => contextLogger(pino({}, stream))],
    ['pinoMixin', (stream: { write(): void }) => pino({ mixin: pinoMixin() }, stream)],
  ])('reports log lines of %s outside any unit, only while requests run', (_, create) => {
    const opened = open()
    const log = create({ write() {} })
    log.info('no request runs')
    const scope = openScope('request')
    scope.run(() => log.info('inside'))
    expect(opened.found).toEqual([])

    log.info('outside')
    scope.close()
    log.info('no request runs any more')

    expect(opened.found).toEqual(['1 × a log line outside any unit, while requests run: bind'])
    expect(opened.findings()[0]?.library).not.toBe('pino')
  })

  it('reports a listener that one request registered and that runs in another', () => {
    const { findings } = open()
    const bus = new EventEmitter()
    runInScope(() => bus.on('order', function announce() {}))
    runInScope(() => bus.once('order', () => {}))

    runInScope(() => bus.emit('order'))
    bus.emit('order')

    expect(findings().map(({ what, count, remedy }) => [what, count, remedy.name])).toEqual([
      ["listener of 'order' of one request ran in another", 1, 'bind'],
      ["listener of 'order' of one request ran in another", 1, 'bind'],
    ])
    expect(findings()[0]?.callSite).toMatch(/doctor\.test\.ts:\d+:\d+$/)
  })

  it('reports a listener of a stream, whose `on` calls that of EventEmitter', () => {
    const opened = open()
    const stream = new Readable({ read() {} })
    runInScope(() => stream.on('order', () => {}))

    runInScope(() => stream.emit('order'))

    expect(opened.found).toEqual(["1 × listener of 'order' of one request ran in another: bind"])
  })

  it('finds nothing in calls of node:http that share a connection', async () => {
    const opened = open()
    const server = createServer((_request, response) => response.end('ok')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    onTestFinished(() => {
      agent.destroy()
      server.close().closeAllConnections()
    })
    const { port } = server.address() as AddressInfo
    const call = () =>
      runInScope(async () => {
        const [response] = (await once(get({ port, agent }), 'response')) as [
          Readable & { req: { reusedSocket: boolean } },
        ]
        await once(response.resume(), 'close')
        return response.req.reusedSocket
      })

    expect([await call(), await call()]).toEqual([false, true])

    expect(opened.found).toEqual([])
  })

  it('advises outside() for an object that the other request created', () => {
    const opened = open()
    let bus = new EventEmitter()
    const creator = openScope('creator')
    creator.run(() => {
      bus = new EventEmitter()
    })
    runInScope(() => bus.on('order', () => {}))

    creator.run(() => bus.emit('order'))
    creator.close()

    expect(opened.found).toEqual(["1 × listener of 'order' of one request ran in another: outside"])
  })

  it.each<[name: string, listen: (bus: EventEmitter) => void]>([
    ['of the same request', (bus) => void bus.on('order', () => {})],
    ['of a task of the request', (bus) => void spawn(() => void bus.on('order', () => {}))],
    [
      'that is bound',
      (bus) =>
        void bus.on(
          'order',
          bind(() => {}),
        ),
    ],
    [
      'that is bound by Node',
      (bus) =>
        void bus.on(
          'order',
          AsyncResource.bind(() => {}),
        ),
    ],
    ['of events.once', (bus) => void once(bus, 'order')],
    ['of events.on', (bus) => void on(bus, 'order')],
    ['of util.promisify', (bus) => void promisify(bus.on.bind(bus))('order')],
    ['of a bound emitter', (bus) => void [bus.on('order', () => {}), bindEmitter(bus)]],
    [
      'that is removed',
      (bus) => {
        const listener = () => {}
        bus.on('order', listener)
        bus.off('order', listener)
      },
    ],
  ])('does not report a listener %s', (name, listen) => {
    const opened = open()
    const bus = new EventEmitter()
    const scope = openScope('request')
    scope.run(() => listen(bus))

    if (name.startsWith('of the same') || name.startsWith('of a task')) scope.run(() => bus.emit('order'))
    else runInScope(() => bus.emit('order'))
    scope.close()

    expect(opened.found).toEqual([])
  })

  it('advises to register the plugin earlier for a hook before it', async () => {
    const opened = open()
    const app = Fastify()
    onTestFinished(() => app.close())
    app.addHook('onRequest', async () => void user.get())
    await app.register(logicalContext)
    app.get('/', async () => user.set('ann'))

    await app.inject('/')

    expect(opened.found).toEqual(["1 × read of 'user' outside any unit: register earlier"])
    expect(opened.findings()[0]?.library).toBe('fastify')
  })

  it('advises to bind a listener that a handler of Fastify registers and another request calls', async () => {
    const opened = open()
    const bus = new EventEmitter()
    const app = Fastify()
    onTestFinished(() => app.close())
    await app.register(logicalContext)
    app.get('/subscribe', async () => void bus.on('order', () => {}))
    app.get('/publish', async () => void bus.emit('order'))

    await app.inject('/subscribe')
    await app.inject('/publish')

    expect(opened.found).toEqual(["1 × listener of 'order' of one request ran in another: bind"])
    expect(opened.findings()[0]?.library).toBeUndefined()
  })

  it('finds nothing in an app that keeps the context', async () => {
    const opened = open()
    const app = Fastify({ loggerInstance: contextLogger(pino({}, { write() {} })) })
    await app.register(logicalContext)
    app.addHook('onRequest', async () => user.set('ann'))
    app.get('/', async (request, reply) => {
      reply.raw.on('close', () => user.get())
      spawn(async () => {
        await Promise.resolve()
        request.log.info(`for ${user.get()}`)
      })
      return user.get()
    })
    const url = await app.listen({ port: 0, host: '127.0.0.1' })

    const replies = await Promise.all([1, 2, 3].map(async () => (await fetch(url)).text()))
    await app.close()

    expect(replies).toEqual(['ann', 'ann', 'ann'])
    expect(opened.found).toEqual([])
  })

  it('contains a failure of onFinding', () => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => printed.mockRestore())
    const on = doctor({
      summary: false,
      onFinding() {
        throw new Error('planted')
      },
    })
    onTestFinished(() => on.stop())

    expect(() => spawn(() => {})).toThrow('outside any unit')

    expect(String(printed.mock.calls)).toContain('onFinding failed')
  })

  it('is one doctor for the process, until it is stopped', () => {
    const first = doctor({ onFinding() {}, summary: false })
    onTestFinished(() => first.stop())

    expect(doctor()).toBe(first)
    first.stop()
    first.stop()
    const second = doctor({ onFinding() {}, summary: false })
    onTestFinished(() => second.stop())
    first.stop()

    expect(second).not.toBe(first)
    expect(doctor()).toBe(second)
  })

  it('installs nothing before it is called, and nothing is left after it is stopped', () => {
    const methods = ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener', 'emit']
    const installed = () => [
      Object.getOwnPropertyDescriptor(ContextVar.prototype, 'get')?.value as unknown,
      Reflect.get(EventEmitter, 'init') as unknown,
      ...methods.map((name) => Object.getOwnPropertyDescriptor(EventEmitter.prototype, name)?.value as unknown),
      process.listenerCount('exit'),
    ]
    const before = installed()

    const on = doctor({ onFinding() {}, summary: false })
    const during = installed()
    on.stop()

    expect(during).not.toEqual(before)
    expect(installed()).toEqual(before)
  })

  it('throws for an option that is unknown or of the wrong type', () => {
    expect(() => doctor({ verbose: true } as never)).toThrow("doctor: unknown option 'verbose'")
    expect(() => doctor({ summary: 'yes' } as never)).toThrow("doctor: option 'summary' expected a boolean")
  })

  it('does not report work that a test starts outside with outside()', () => {
    const opened = open()

    runInScope(() => outside(() => new EventEmitter().on('x', () => {}).emit('x')))

    expect(opened.found).toEqual([])
  })
})

describe('the remedies', () => {
  it.each(Object.values({ ...remedies }))('name a section of the documentation: $name', ({ page }) => {
    const [file = '', anchor = ''] = page.split('#')

    expect(existsSync(file)).toBe(true)
    expect(anchorsOf(readFileSync(file, 'utf8'))).toContain(anchor)
  })

  it('are known for each library once', () => {
    const names = knownLibraries.map(({ name }) => name)

    expect(names).toEqual([...new Set(names)])
  })
})
