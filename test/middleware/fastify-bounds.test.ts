import dns from 'node:dns'
import { once } from 'node:events'
import { connect as connectHttp2, constants } from 'node:http2'
import { type AddressInfo, connect } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyServerOptions } from 'fastify'
import { ContextVar, openScope, type RequestScope, runInScope, spawn } from 'logical-context'
import { type CloseReport, logicalContext, type LogicalContextOptions } from 'logical-context/middleware/fastify'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { disconnect, urlOf } from './foreign-context.ts'

const user = new ContextVar<string>('user')
const never = new Promise<never>(() => {})
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

interface Shop {
  readonly app: FastifyInstance
  readonly warnings: { msg: string }[]
  readonly reports: CloseReport[]
  readonly scopes: RequestScope[]
}

async function open(
  options: LogicalContextOptions,
  declare: (app: FastifyInstance) => unknown,
  server: FastifyServerOptions & { http2?: boolean } = {},
): Promise<Shop> {
  const warnings: { msg: string }[] = []
  const reports: CloseReport[] = []
  const scopes: RequestScope[] = []
  const write = (line: string) => {
    const parsed = JSON.parse(line) as { level: number; msg: string }
    if (parsed.level > 30) warnings.push(parsed)
  }
  const app = Fastify({
    ...server,
    logger: { stream: { write } },
  } as FastifyServerOptions) as unknown as FastifyInstance
  onTestFinished(() => app.close())
  await app.register(logicalContext, { ...options, onDrained: (report) => reports.push(report) })
  app.addHook('onRequest', async ({ requestScope }) => {
    scopes.push(requestScope)
    user.set('ann')
  })
  declare(app)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, warnings, reports, scopes }
}

describe('after its response has closed, a request', () => {
  it.each<[string, (app: FastifyInstance) => unknown, string]>([
    [
      'a hook that never calls back',
      (app) => app.addHook('onResponse', function audit(_request, _reply, _done) {}).get('/', async () => 'ok'),
      "the hook onResponse 'audit' of GET / had not ended 20 ms after the response closed",
    ],
    [
      'an async hook that never settles',
      (app) => app.addHook('onResponse', () => never).get('/', async () => 'ok'),
      'the hook onResponse of GET / had not ended 20 ms after the response closed',
    ],
    [
      'a hijacked reply whose promise never settles',
      (app) =>
        app.get('/', async function report(_request, reply) {
          reply.hijack()
          reply.raw.end('ok')
          await never
        }),
      "the handler 'report' of GET / had not ended 20 ms after the response closed",
    ],
    [
      'a scope.run that never settles',
      (app) =>
        app.get('/', async ({ requestScope }) => {
          void requestScope.run(() => never)
          return 'ok'
        }),
      'work that was started with scope.run() of GET / had not ended 20 ms after the response closed',
    ],
  ])('is sealed at settleTimeoutMs, with one warning, for %s', async (_name, declare, message) => {
    const { app, warnings, reports, scopes } = await open({ settleTimeoutMs: 20 }, declare)

    for (let i = 0; i < 3; i++) await (await fetch(urlOf(app))).text()
    await expect.poll(() => scopes.every(({ sealed }) => sealed)).toBe(true)
    const startedAt = performance.now()
    await app.close()

    expect(scopes).toHaveLength(3)
    expect(warnings.map(({ msg }) => msg)).toEqual([expect.stringContaining(message)])
    expect(reports).toMatchObject([{ unfinishedRequests: [] }])
    expect(performance.now() - startedAt).toBeLessThan(5000)
  })

  it('is not sealed before: a hook keeps its values until it calls back', async () => {
    const seen: unknown[] = []
    const { app, warnings, scopes } = await open({ settleTimeoutMs: 60_000 }, (instance) => {
      instance.addHook('onResponse', async () => {
        for (let i = 0; i < 5; i++) await turn()
        seen.push(user.get())
      })
      instance.get('/', async () => 'ok')
    })

    await (await fetch(urlOf(app))).text()
    await expect.poll(() => scopes[0]?.sealed).toBe(true)

    expect(seen).toEqual(['ann'])
    expect(warnings).toEqual([])
  })

  // Before Node 26 the request of a GET closes after the response.
  it('has no warning later if it was sealed before', async () => {
    const seen: string[] = []
    const { app, warnings, scopes } = await open({ settleTimeoutMs: 100 }, (instance) => {
      instance.addHook('onResponse', async ({ url }) => {
        for (let i = 0; i < 5; i++) await turn()
        seen.push(url)
        if (url === '/never') await never
      })
      instance.get('/', async () => 'ok').get('/never', async () => 'ok')
    })

    await (await fetch(urlOf(app))).text()
    await expect.poll(() => scopes[0]?.sealed).toBe(true)
    await (await fetch(`${urlOf(app)}/never`)).text()
    await expect.poll(() => scopes[1]?.sealed).toBe(true)

    expect(seen).toEqual(['/', '/never'])
    expect(warnings).toMatchObject([{ msg: expect.stringContaining('the hook onResponse of GET /never') }])
  })
})

describe('after a disconnect, a handler in callback style', () => {
  it('keeps its values until it replies', async () => {
    const seen: unknown[] = []
    const entered = Promise.withResolvers<void>()
    const { app, scopes, warnings } = await open({}, (instance) => {
      instance.get('/', (request, reply) => {
        entered.resolve()
        request.raw.once('close', () => {
          setTimeout(() => {
            seen.push(user.get())
            void reply.send('late')
          }, 10)
        })
      })
    })

    await disconnect(app, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n', entered.promise)
    await expect.poll(() => scopes[0]?.sealed).toBe(true)

    expect(seen).toEqual(['ann'])
    expect(warnings).toEqual([])
  })

  it('keeps them in an error handler and in a handler of what is not found', async () => {
    const seen: unknown[] = []
    const declare = (instance: FastifyInstance, entered: () => void) => {
      const later = (place: string, reply: { send(payload: unknown): unknown; raw: NodeJS.EventEmitter }) => {
        entered()
        reply.raw.once('close', () => {
          setTimeout(() => {
            seen.push([place, user.get()])
            reply.send('late')
          }, 10)
        })
      }
      instance.setErrorHandler((_error, _request, reply) => later('error', reply))
      instance.setNotFoundHandler((_request, reply) => later('missing', reply))
      instance.get('/', async () => {
        throw new Error('no')
      })
    }
    for (const path of ['/', '/missing']) {
      const entered = Promise.withResolvers<void>()
      const { app, scopes } = await open({}, (instance) => declare(instance, entered.resolve))
      await disconnect(app, `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`, entered.promise)
      await expect.poll(() => scopes[0]?.sealed).toBe(true)
    }

    expect(seen).toEqual([
      ['error', 'ann'],
      ['missing', 'ann'],
    ])
  })

  it.each<[string, (reply: FastifyReply) => unknown, (reply: FastifyReply) => unknown]>([
    ['end', (reply) => reply.hijack(), ({ raw }) => raw.end('late')],
    ['write', (reply) => reply.hijack(), ({ raw }) => raw.write('late')],
    ['end without hijack()', () => {}, ({ raw }) => raw.end('late')],
  ])('keeps them until it replies with reply.raw: %s', async (_name, begin, answer) => {
    const seen: unknown[] = []
    const entered = Promise.withResolvers<void>()
    const { app, scopes, warnings } = await open({}, (instance) => {
      instance.get('/', (_request, reply) => {
        begin(reply)
        entered.resolve()
        reply.raw.once('close', () => {
          setTimeout(() => {
            seen.push(user.get())
            answer(reply)
          }, 10)
        })
      })
    })

    await disconnect(app, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n', entered.promise)
    await expect.poll(() => scopes[0]?.sealed).toBe(true)

    expect(seen).toEqual(['ann'])
    expect(warnings).toEqual([])
  })

  it('keeps them no longer than settleTimeoutMs if it never replies', async () => {
    const entered = Promise.withResolvers<void>()
    const { app, scopes, warnings } = await open({ settleTimeoutMs: 20 }, (instance) => {
      instance.get('/', function poll() {
        entered.resolve()
      })
    })

    await disconnect(app, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n', entered.promise)
    await expect.poll(() => scopes[0]?.sealed).toBe(true)

    expect(warnings).toMatchObject([{ msg: expect.stringMatching(/^the handler 'poll' of GET \/ had not ended/) }])
  })
})

describe('a request over HTTP/2 that is reset', () => {
  it.each<[string, (app: FastifyInstance, reset: () => Promise<void>) => unknown]>([
    [
      'return reply.send()',
      (app, reset) => app.get('/', async (_request, reply) => reset().then(() => reply.send('x'))),
    ],
    [
      'await reply',
      (app, reset) =>
        app.get('/', async (_request, reply) => {
          await reset()
          void reply.send('x')
          await reply
        }),
    ],
    [
      'return reply of a handler that is not async',
      (app, reset) =>
        app.get('/', (_request, reply) => {
          void reset().then(() => reply.send('x'))
          return reply
        }),
    ],
  ])('ends at once with %s', async (_name, declare) => {
    const gone = Promise.withResolvers<void>()
    const entered: (() => void)[] = []
    const { app, scopes, reports } = await open(
      { settleTimeoutMs: 60_000, drainTimeoutMs: 5000 },
      (instance) =>
        declare(instance, async () => {
          entered.shift()?.()
          await gone.promise
          await turn()
        }),
      { http2: true },
    )
    const session = connectHttp2(urlOf(app)).on('error', () => {})
    onTestFinished(() => session.destroy())

    const streams = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const handled = new Promise<void>((resolve) => entered.push(resolve))
        const stream = session.request({ ':path': '/' }).on('error', () => {})
        await handled
        return stream
      }),
    )
    for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL)
    await expect.poll(() => scopes.every(({ signal }) => signal.aborted)).toBe(true)
    gone.resolve()

    await expect.poll(() => scopes.filter(({ sealed }) => !sealed).length).toBe(0)
    await app.close()
    expect(reports).toMatchObject([{ unfinishedRequests: [] }])
  })
})

describe('pipelined requests', () => {
  it.each(['a disconnect', 'garbage'])('all end with %s', async (ending) => {
    const entered = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const { app, scopes, reports } = await open({ drainTimeoutMs: 5000 }, (instance) => {
      instance.get('/', async () => {
        if (scopes.length === 50) entered.resolve()
        await gate.promise
        return 'ok'
      })
    })
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {})
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(50))
    await entered.promise
    const aborted = Promise.all(scopes.map(({ signal }) => once(signal, 'abort')))

    if (ending === 'garbage') socket.end('\0\0 no request\r\n\r\n')
    else socket.destroy()
    await aborted
    gate.resolve()

    await expect.poll(() => scopes.filter(({ sealed }) => !sealed).length).toBe(0)
    await app.close()
    expect(reports).toMatchObject([{ unfinishedRequests: [] }])
  })
})

describe('a listener of close that throws', () => {
  it('does not leave the unit open', async () => {
    const { app, scopes } = await open({}, (instance) => {
      instance.get('/', async (_request, reply) => {
        reply.raw.on('close', () => {
          throw new Error('thrown by a listener')
        })
        return 'ok'
      })
    })
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    const thrown = once(process, 'uncaughtException')
    onTestFinished(() => listeners.forEach((listener) => process.on('uncaughtException', listener)))

    await (await fetch(urlOf(app))).text()
    await thrown

    await expect.poll(() => scopes[0]?.sealed).toBe(true)
  })
})

describe('app.close() that is called by', () => {
  it.each<[string, (app: FastifyInstance, close: () => Promise<void>) => unknown]>([
    [
      'a task',
      (app, close) =>
        app.get('/', async () => {
          spawn(close, { name: 'closer' })
          return 'ok'
        }),
    ],
    [
      'two tasks',
      (app, close) =>
        app.get('/', async () => {
          spawn(close)
          spawn(close)
          return 'ok'
        }),
    ],
    [
      'a task whose result a task of its request awaits, and the handler that awaits that one',
      (app, close) =>
        app.get('/', async () => {
          await spawn(() => spawn(close).result()).result()
          return 'ok'
        }),
    ],
    [
      'a unit of its own that a handler awaits',
      (app, close) =>
        app.get('/', async () => {
          await runInScope(close)
          return 'ok'
        }),
    ],
    [
      'a unit opened by hand that a handler awaits',
      (app, close) =>
        app.get('/', async () => {
          using scope = openScope('saga')
          await scope.run(close)
          return 'ok'
        }),
    ],
    ['a hook onResponse', (app, close) => app.addHook('onResponse', close).get('/', async () => 'ok')],
    [
      'a handler that waits for it',
      (app, close) =>
        app.get('/', async () => {
          await close()
          return 'ok'
        }),
    ],
  ])('%s does not wait for it', async (_name, declare) => {
    const closed: number[] = []
    const { app, reports, warnings } = await open({ drainTimeoutMs: 20_000 }, (instance) =>
      declare(instance, async () => {
        const startedAt = performance.now()
        await instance.close()
        closed.push(performance.now() - startedAt)
      }),
    )

    await fetch(urlOf(app)).catch(() => {})
    await expect.poll(() => closed.length, { timeout: 10_000 }).toBeGreaterThan(0)
    await app.close()

    expect(Math.max(...closed)).toBeLessThan(5000)
    expect(reports).toMatchObject([{ unfinished: [], unfinishedRequests: [] }])
    expect(warnings).toEqual([])
  })

  it('a handler that awaits it before the reply cuts its connection', async () => {
    const closed = Promise.withResolvers<number>()
    const { app, reports } = await open({ drainTimeoutMs: 20_000 }, (instance) => {
      instance.get('/', async () => {
        const startedAt = performance.now()
        await instance.close()
        closed.resolve(performance.now() - startedAt)
        return 'bye'
      })
    })

    const answer = fetch(urlOf(app))

    await expect(answer).rejects.toThrow('fetch failed')
    expect(await closed.promise).toBeGreaterThan(1400)
    expect(await closed.promise).toBeLessThan(5000)
    expect(reports).toMatchObject([{ unfinished: [], unfinishedRequests: [] }])
  })

  it('a handler that does not await it sends the reply, and waits for the others', async () => {
    const order: string[] = []
    const { app, reports } = await open({ drainTimeoutMs: 20_000 }, (instance) => {
      instance.get('/', async () => {
        spawn(async () => {
          await turn()
          order.push('task')
        })
        void instance.close().then(() => order.push('closed'))
        await turn()
        return 'bye'
      })
    })

    const text = await (await fetch(urlOf(app))).text()
    await expect.poll(() => order).toEqual(['task', 'closed'])

    expect(text).toBe('bye')
    expect(reports).toMatchObject([{ finished: 1, unfinished: [], unfinishedRequests: [] }])
  })
})

describe('a close of an app that listens on two addresses of localhost', () => {
  it('waits for the requests of both, and ends the connections of both', async () => {
    const resolve = dns.lookup as (...args: unknown[]) => unknown
    const both = [
      { address: '127.0.0.1', family: 4 },
      { address: '127.0.0.2', family: 4 },
    ]
    const lookup = vi.spyOn(dns, 'lookup').mockImplementation(((host: string, options: object, done: unknown) => {
      if (host === 'localhost' && (options as { all?: boolean }).all === true)
        return (done as (error: null, addresses: typeof both) => void)(null, both)
      return resolve(host, options, done)
    }) as never)
    onTestFinished(() => lookup.mockRestore())
    const app = Fastify()
    const entered = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    await app.register(logicalContext, { drainTimeoutMs: 5000 })
    app.get('/', async () => {
      entered.resolve()
      await gate.promise
      return 'whole'
    })
    await app.listen({ port: 0 })
    const { port } = app.server.address() as AddressInfo
    const dial = async (host: string) => {
      const socket = connect(port, host).on('error', () => {})
      await once(socket, 'connect')
      return socket.resume()
    }
    const silent = await Promise.all(['127.0.0.1', '127.0.0.2'].map(dial))
    const silentClosed = Promise.all(silent.map((socket) => once(socket, 'close')))
    const busy = await dial('127.0.0.2')
    let heard = ''
    busy.on('data', (chunk) => (heard += String(chunk)))
    busy.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await entered.promise

    const closing = app.close()
    await turn()
    gate.resolve()
    await once(busy, 'close')
    await Promise.all([closing, silentClosed])

    expect(heard).toMatch(/whole$/)
    await expect(once(connect(port, '127.0.0.2'), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})

describe('onDrained', () => {
  it('may be async: its failure is logged, and the process goes on', async () => {
    const errors: unknown[] = []
    const write = (line: string) => {
      const { level, msg } = JSON.parse(line) as { level: number; msg: string }
      if (level === 50) errors.push(msg)
    }
    const app = Fastify({ logger: { stream: { write } } })
    await app.register(logicalContext, {
      onDrained: async () => {
        await turn()
        throw new Error('no metrics')
      },
    })

    await app.close().catch(() => {})

    expect(errors).toEqual(["the option 'onDrained' failed"])
  })

  it('that never settles does not stop the close', async () => {
    const app = Fastify()
    await app.register(logicalContext, { onDrained: () => never })
    const startedAt = performance.now()

    await app.close()

    expect(performance.now() - startedAt).toBeLessThan(5000)
  })
})
