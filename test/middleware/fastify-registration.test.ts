import { AsyncResource } from 'node:async_hooks'
import { type AddressInfo, connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import autoload from '@fastify/autoload'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyServerOptions,
  type RouteShorthandOptions,
} from 'fastify'
import fp from 'fastify-plugin'
import { ContextVar, type RequestScope, spawn } from 'logical-context'
import { contextLogger } from 'logical-context/bridges/pino'
import { logicalContext, type LogicalContextOptions } from 'logical-context/middleware/fastify'
import { requestId } from 'logical-context/variables'
import pino from 'pino'
import { describe, expect, it, onTestFinished } from 'vitest'

const user = new ContextVar<string>('user')
const isolated = { config: { logicalContext: { policy: 'isolate' } } } as const

interface Line {
  level: number
  msg: string
  reqId?: string
  request_id?: string
  trace_id?: string
}

interface Logged {
  readonly app: FastifyInstance
  readonly lines: Line[]
}

function logged(options: FastifyServerOptions = {}): Logged {
  const lines: Line[] = []
  const stream = { write: (line: string) => void lines.push(JSON.parse(line) as Line) }
  const logger: FastifyBaseLogger = contextLogger(pino({}, stream))
  const app = Fastify({ ...options, loggerInstance: logger })
  onTestFinished(() => app.close())
  return { app, lines }
}

async function listen(app: FastifyInstance): Promise<string> {
  await app.listen({ port: 0, host: '127.0.0.1' })
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
}

/** The ids of the lines of one request: each line has the same two, and a trace. */
async function idsOfLines({ app, lines }: Logged, path: string): Promise<string[]> {
  const url = await listen(app)
  lines.length = 0
  await (await fetch(`${url}${path}`)).text()
  await expect.poll(() => lines.some(({ msg }) => msg === 'request completed')).toBe(true)
  return lines.map((line) => {
    const same = line.reqId === line.request_id && line.trace_id !== undefined
    return `${line.msg}: ${same ? 'ids' : JSON.stringify(line)}`
  })
}

const linesOfRoute = ['incoming request: ids', 'handled: ids', 'request completed: ids']

describe('a plugin that is called instead of registered', () => {
  it('fails with a TypeError that shows the registration', async () => {
    const app = Fastify()
    void app.register((logicalContext as unknown as () => Promise<never>)())

    await expect(app.ready()).rejects.toThrow(
      'app.register(logicalContext, options): expected a Fastify instance, from app.register, got undefined.',
    )
  })
})

describe('a registration of logicalContext that is not awaited', () => {
  it('logs the ids on all lines of routes that are declared after it', async () => {
    const shop = logged()
    void shop.app.register(logicalContext)
    shop.app.get('/', async ({ log }) => log.info('handled'))

    expect(await idsOfLines(shop, '/')).toEqual(linesOfRoute)
  })

  it('does the same for routes of plugins', async () => {
    const shop = logged()
    void shop.app.register(logicalContext)
    void shop.app.register(async (child) => {
      child.addHook('onRequest', async () => user.set('ann'))
      child.get('/child', async ({ log }) => log.info(`handled`))
    })

    expect(await idsOfLines(shop, '/child')).toEqual(linesOfRoute)
  })

  it('does the same for requests without a route', async () => {
    const shop = logged()
    void shop.app.register(logicalContext)

    expect(await idsOfLines(shop, '/missing')).toEqual([
      'incoming request: ids',
      'Route GET:/missing not found: ids',
      'request completed: ids',
    ])
  })

  it('does the same with a logger factory of the program', async () => {
    const shop = logged({ childLoggerFactory: (logger, bindings) => logger.child({ ...bindings, own: true }) })
    void shop.app.register(logicalContext)
    shop.app.get('/', async ({ log }) => log.info('handled'))

    expect(await idsOfLines(shop, '/')).toEqual(linesOfRoute)
    expect(shop.lines.every((line) => 'own' in line)).toBe(true)
  })
})

describe('a logger factory of the program', () => {
  type Factory = (logger: FastifyBaseLogger, bindings: object) => FastifyBaseLogger
  const lines: Line[] = []
  const own = contextLogger(pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as Line) }))
  const app = (childLoggerFactory: Factory, options: FastifyServerOptions = { loggerInstance: own }) => {
    lines.length = 0
    const instance = Fastify({ ...options, childLoggerFactory })
    onTestFinished(() => instance.close())
    return instance
  }
  /** Which lines have the id of their request; one is written in no unit. */
  const linesOf = async (instance: FastifyInstance, options: RouteShorthandOptions = {}) => {
    instance.get('/', options, async ({ id, log }) => {
      new AsyncResource('outside').runInAsyncScope(() => log.info('handled'))
      return id
    })
    const { body } = await instance.inject('/')
    await instance.inject('/missing')
    own.info('of no request')
    return lines.map(
      ({ msg, request_id: id }) => `${msg}: ${id === body ? 'id' : id === undefined ? 'none' : 'another'}`,
    )
  }
  const ofBoth = [
    'incoming request: id',
    'handled: id',
    'request completed: id',
    'incoming request: another',
    'Route GET:/missing not found: another',
    'request completed: another',
    'of no request: none',
  ]

  it.each<[name: string, Factory]>([
    ['omits the id', (logger) => logger.child({ own: true })],
    ['returns a child of a child', (logger, bindings) => logger.child({ own: true }).child(bindings)],
    ['returns a child of another logger', (_logger, bindings) => own.child(bindings)],
    ['returns a logger that all requests share', () => own],
  ])('that %s has the ids on all lines', async (_name, factory) => {
    const instance = app(factory)
    await instance.register(logicalContext)

    expect(await linesOf(instance)).toEqual(ofBoth)
  })

  it('has them if the registration is not awaited and the loggers are children of the app’s', async () => {
    const instance = app((logger) => logger.child({ own: true }))
    void instance.register(logicalContext)

    expect(await linesOf(instance)).toEqual(ofBoth)
  })

  it('has them after the first line, and a warning, if the registration is not awaited and the loggers are others', async () => {
    const instance = app(() => own)
    void instance.register(logicalContext)

    const all = await linesOf(instance)
    expect(all.filter((line) => line.startsWith('logicalContext'))).toEqual([
      expect.stringMatching(/Await app\.register\(logicalContext\) before you declare routes/),
    ])
    expect(all.filter((line) => !line.startsWith('logicalContext'))).toEqual(ofBoth.with(0, 'incoming request: none'))
  })

  it('does not mix up the ids of requests that wait in a hook of before the registration', async () => {
    const instance = app(() => own)
    const bothWait = Promise.withResolvers<void>()
    let waiting = 0
    instance.addHook('onRequest', async () => {
      if (++waiting === 2) bothWait.resolve()
      await bothWait.promise
    })
    void instance.register(logicalContext)
    instance.get('/', async ({ id, log }) => {
      log.info(id)
    })

    await Promise.all([instance.inject('/'), instance.inject('/')])

    const handled = lines.filter(({ msg }) => /^[\da-f-]{36}$/.test(msg))
    expect(handled.map(({ request_id: id }) => id)).toEqual(handled.map(({ msg }) => msg))
    expect(handled).toHaveLength(2)
  })

  it('has them in an app without a logger', async () => {
    const instance = app(() => own, {})
    await instance.register(logicalContext)

    expect(await linesOf(instance)).toEqual(ofBoth.filter((line) => !line.startsWith('request completed')))
  })

  it.each<[name: string, set: (instance: FastifyInstance, factory: never) => RouteShorthandOptions]>([
    ['a route', (_instance, factory) => ({ childLoggerFactory: factory })],
    [
      'setChildLoggerFactory',
      (instance, factory) => {
        instance.setChildLoggerFactory(factory)
        return {}
      },
    ],
  ])('has them if %s sets it', async (_name, set) => {
    const instance = app((logger, bindings) => logger.child(bindings))
    await instance.register(logicalContext)

    expect(await linesOf(instance, set(instance, (() => own) as never))).toEqual(ofBoth)
  })
})

describe('an awaited registration of logicalContext', () => {
  it.each(['/', '/missing'])('logs the ids on all lines of %s', async (path) => {
    const shop = logged()
    await shop.app.register(logicalContext)
    shop.app.get('/', async ({ log }) => log.info('handled'))

    expect((await idsOfLines(shop, path)).every((line) => line.endsWith(': ids'))).toBe(true)
  })
})

describe('a registration of logicalContext inside a plugin', () => {
  it.each(['', '/api'])(
    'opens units for its routes, and for requests without a route, with the prefix %j',
    async (prefix) => {
      const shop = logged()
      void shop.app.register(
        async (child) => {
          void child.register(logicalContext)
          child.get('/orders', async ({ log }) => log.info('handled'))
        },
        { prefix },
      )

      expect(await idsOfLines(shop, `${prefix}/orders`)).toEqual(linesOfRoute)
    },
  )

  it.each(['', '/api'])('opens units for requests without a route, with the prefix %j', async (prefix) => {
    const shop = logged()
    void shop.app.register(async (child) => void child.register(logicalContext), { prefix })

    expect(await idsOfLines(shop, '/missing')).toEqual([
      'incoming request: ids',
      'Route GET:/missing not found: ids',
      'request completed: ids',
    ])
  })

  it('runs the hooks of the app for requests without a route, and its handler, in the unit', async () => {
    const app = Fastify()
    onTestFinished(() => app.close())
    app.addHook('onRequest', async () => user.set('ann'))
    app.setNotFoundHandler(async (request) => ({ user: user.get(), name: request.requestScope.name }))
    await app.register(async (child) => await child.register(logicalContext))

    expect((await app.inject('/missing')).json()).toEqual({ user: 'ann', name: 'GET (no route)' })
  })

  it('opens no units for the routes of another plugin, and the error names this cause', async () => {
    const app = Fastify()
    onTestFinished(() => app.close())
    await app.register(async (child) => await child.register(logicalContext))
    await app.register(async (orders) => void orders.get('/orders', async () => user.set('ann')))

    const { code, message } = (await app.inject('/orders')).json()
    expect(code).toBe('LCTX_OUTSIDE_UNIT')
    expect(message).toContain('the plugin is not registered, or only inside another plugin; ')
  })

  it('opens units with @fastify/autoload, which passes its own options', async () => {
    const shop = logged()
    await shop.app.register(autoload, {
      dir: fileURLToPath(new URL('autoload', import.meta.url)),
      options: { prefix: '/api' },
    })

    expect(await idsOfLines(shop, '/api/orders')).toEqual(linesOfRoute)
  })

  it('opens units for all routes if autoload loads a file that exports the plugin', async () => {
    const shop = logged()
    await shop.app.register(autoload, {
      dir: fileURLToPath(new URL('autoload-context', import.meta.url)),
      options: { prefix: '/api' },
    })
    await shop.app.register(async (orders) => void orders.get('/orders', async ({ log }) => log.info('handled')))

    expect(await idsOfLines(shop, '/orders')).toEqual(linesOfRoute)
  })

  it('takes the options that Fastify adds', async () => {
    const shop = logged()
    const options = { prefix: '/api', logLevel: 'info', logSerializers: {}, policy: 'isolate' }
    await shop.app.register(async (child) => {
      await child.register(logicalContext, options as LogicalContextOptions)
      await child.register(async (inner) => {
        await inner.register(logicalContext, options as LogicalContextOptions)
      })
      child.get('/', async () => [spawn(() => {}).policy])
    })

    expect((await shop.app.inject('/')).json()).toEqual(['isolate'])
  })

  it('sets a policy also for the routes that were declared before it, and for plugins inside', async () => {
    const app = Fastify()
    onTestFinished(() => app.close())
    await app.register(logicalContext)
    const policy = async () => [spawn(() => {}).policy]
    await app.register(async (child) => {
      child.get('/before', policy)
      void child.register(logicalContext, { policy: 'isolate' })
      child.get('/after', policy)
      void child.register(async (inner) => void inner.get('/inside', policy))
    })
    app.get('/outside', policy)

    const policies = await Promise.all(
      ['/before', '/after', '/inside', '/outside'].map(async (path) => (await app.inject(path)).json()),
    )

    expect(policies).toEqual([['isolate'], ['isolate'], ['isolate'], ['inherit']])
  })
})

describe('a route that was declared before the plugin', () => {
  it('has the values of its request', async () => {
    const { app, lines } = logged()
    app.get('/', async () => {
      user.set('ann')
      await Promise.resolve()
      return user.get()
    })
    await app.register(logicalContext)

    expect((await app.inject('/')).body).toBe('ann')
    expect(lines.filter(({ level }) => level > 30)).toEqual([])
  })

  it('has its own policy', async () => {
    const { app } = logged()
    app.get('/', isolated, () => {
      user.set('ann')
      return spawn(() => user.get() ?? 'guest').result()
    })
    await app.register(logicalContext)

    expect((await app.inject('/')).body).toBe('guest')
  })

  it('fails its requests if its policy is invalid, with an error that names it', async () => {
    const { app } = logged()
    app.get('/', { config: { logicalContext: { policy: 'inherits' as never } } }, () => 'ok')
    await app.register(logicalContext)

    const answer = await app.inject('/')

    expect(answer.statusCode).toBe(500)
    expect(answer.json()).toMatchObject({
      message: expect.stringMatching(/^config.logicalContext of GET \/: option 'policy' expected .* got 'inherits'/),
    })
  })

  it('keeps its values after a disconnect, until its handler has settled', async () => {
    const seen = Promise.withResolvers<unknown>()
    const entered = Promise.withResolvers<RequestScope>()
    const gone = Promise.withResolvers<void>()
    const { app } = logged()
    app.get('/', async ({ requestScope: scope }) => {
      user.set('ann')
      scope.signal.addEventListener('abort', () => setImmediate(() => setImmediate(gone.resolve)))
      entered.resolve(scope)
      await gone.promise
      seen.resolve(user.get())
    })
    await app.register(logicalContext)
    await app.listen({ port: 0, host: '127.0.0.1' })
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nhost: shop\r\n\r\n')

    const scope = await entered.promise
    socket.destroy()

    expect(await seen.promise).toBe('ann')
    await expect.poll(() => scope.sealed).toBe(true)
  })
})

describe('a second registration of logicalContext on the same instance', () => {
  it('does nothing without options: two plugins can need it', async () => {
    const app = Fastify()
    onTestFinished(() => app.close())
    await app.register(fp(async (instance) => await instance.register(logicalContext, { policy: 'isolate' })))
    await app.register(fp(async (instance) => await instance.register(logicalContext)))
    app.get('/', async () => [spawn(() => {}).policy])

    expect((await app.inject('/')).json()).toEqual(['isolate'])
  })

  it.each<[LogicalContextOptions, RegExp]>([
    [
      { policy: 'isolate' },
      /^logicalContext, registered a second time on the same instance: set its option 'policy' in/,
    ],
    [
      { trust: 'loopback' },
      /^logicalContext, registered a second time: unknown option 'trust', expected one of: policy/,
    ],
  ])('throws for %j', async (options, message) => {
    const app = Fastify()
    await app.register(logicalContext)

    await expect(async () => app.register(logicalContext, options)).rejects.toThrow(message)
  })
})

describe('a decorator of the same name as one of ours', () => {
  it.each<[string, (app: FastifyInstance) => unknown, RegExp]>([
    [
      'of the app',
      (app) => app.decorate('requestScopes', 'mine' as never),
      /no other decorator 'requestScopes', got 'mine'/,
    ],
    [
      'of requests',
      (app) => app.decorateRequest('requestScope', null as never),
      /'requestScope' has already been added/,
    ],
  ])('%s makes the registration fail', async (_name, decorate, message) => {
    const app = Fastify()
    decorate(app)

    await expect(async () => app.register(logicalContext)).rejects.toThrow(message)
  })
})

describe("a method 'use' of the program", () => {
  it('passes all arguments on to the functions that it was given', async () => {
    const app = Fastify()
    await app.register(logicalContext)
    app.decorate('use' as 'log', ((fn: (...numbers: number[]) => number) => fn(1, 2, 3, 4)) as never)
    const { use } = app as unknown as { use(fn: (...numbers: number[]) => number): number }

    expect(use.call(app, (...numbers) => numbers.length)).toBe(4)
  })
})

describe('an option with the value undefined', () => {
  it('is not set', async () => {
    const { app, lines } = logged()
    const undefinedOptions = { onRefusal: undefined, onError: undefined, limits: { maxConcurrent: undefined } } as never
    await app.register(logicalContext, undefinedOptions)
    app.get('/', async () => {
      spawn(() => {
        throw new Error('no')
      }, { name: 'fails' }) // prettier-ignore
      return requestId.get()
    })

    await app.inject({ url: '/', headers: { baggage: 'a=b', 'x-request-id': 'r-1' } })

    expect(lines.filter(({ level }) => level > 30)).toMatchObject([
      { msg: expect.stringMatching(/^baggage of 127.0.0.1 refused/) },
      { msg: "task 'fails' failed", request_id: 'r-1' },
    ])
  })
})
