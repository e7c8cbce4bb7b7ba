import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { type AddressInfo, connect } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import Fastify, {
  type DoneFuncWithErrOrRes,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type RouteShorthandOptions,
} from 'fastify'
import { ContextVar, type RequestScope } from 'logical-context'
import { contextLogger } from 'logical-context/bridges/pino'
import logicalContext, { type LogicalContextOptions } from 'logical-context/middleware/fastify'
import pino from 'pino'
import { describe, expect, it, onTestFinished } from 'vitest'

const user = new ContextVar<string>('user')

type Lines = Record<string, unknown>[]
type Done = (error?: Error) => void

interface Shop {
  readonly app: FastifyInstance
  readonly lines: Lines
  /** The scopes of the requests, in order. */
  readonly scopes: RequestScope[]
  /** Sends a request, and waits for its reply. */
  ask(method?: 'GET' | 'POST'): Promise<void>
}

async function shop(
  declare: (app: FastifyInstance) => unknown,
  { options = {}, route = {} }: { options?: LogicalContextOptions; route?: RouteShorthandOptions } = {},
): Promise<Shop> {
  const lines: Lines = []
  const stream = { write: (line: string) => void lines.push(JSON.parse(line) as Lines[number]) }
  const logger: FastifyBaseLogger = contextLogger(pino({}, stream), { fields: { user } })
  const app = Fastify({ loggerInstance: logger })
  onTestFinished(() => app.close())
  const scopes: RequestScope[] = []
  await app.register(logicalContext, options)
  await declare(app)
  app.route({
    ...route,
    method: ['GET', 'POST'],
    url: '/',
    handler: async (request) => {
      scopes.push(request.requestScope)
      user.set('ada')
      return 'ok'
    },
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const ask = async (method = 'GET') => {
    const body = method === 'POST' ? { body: '{}', headers: { 'content-type': 'application/json' } } : {}
    await (await fetch(`http://127.0.0.1:${portOf(app)}/`, { method, ...body })).text()
  }
  return { app, lines, scopes, ask }
}

function portOf(app: FastifyInstance): number {
  return (app.server.address() as AddressInfo).port
}

/** A hook that looks again and again, each time after more than a turn of the event loop. */
function looking(seen: unknown[]) {
  return async (_request?: FastifyRequest): Promise<void> => {
    for (let look = 0; look < 3; look++) {
      await wait(5)
      seen.push(user.get())
    }
  }
}

describe('a hook onResponse', () => {
  it.each(['GET', 'POST'] as const)('has the values until its promise has settled, after a %s', async (method) => {
    const seen: unknown[] = []
    const { ask, scopes } = await shop((app) => app.addHook('onResponse', looking(seen)))

    await ask(method)
    await expect.poll(() => scopes[0]?.sealed).toBe(true)

    expect(seen).toEqual(['ada', 'ada', 'ada'])
  })

  it('has them until it calls back', async () => {
    const seen: unknown[] = []
    const { ask, scopes } = await shop((app) => {
      app.addHook('onResponse', (_request, _reply, done) => {
        void looking(seen)().then(() => done())
      })
    })

    await ask('POST')
    await expect.poll(() => scopes[0]?.sealed).toBe(true)

    expect(seen).toEqual(['ada', 'ada', 'ada'])
  })

  it('has them after others, of plugins and of the route, and so has the line that Fastify logs at the end', async () => {
    const seen: unknown[] = []
    const declare = (app: FastifyInstance) => {
      app.addHook('onResponse', looking(seen))
      app.addHook('onResponse', (_request, _reply, done) => setTimeout(() => done(), 5))
      app.addHook('onResponse', looking(seen))
    }
    const { ask, scopes, lines } = await shop(declare, { route: { onResponse: [looking(seen), looking(seen)] } })

    await ask('POST')
    await expect.poll(() => scopes[0]?.sealed).toBe(true)

    expect(seen).toEqual(Array(12).fill('ada'))
    expect(lines.filter(({ msg }) => msg === 'request completed')).toMatchObject([{ user: 'ada' }])
  })

  it('has them in a plugin of its own, and is called with it', async () => {
    const seen: unknown[] = []
    const { app, ask, scopes } = await shop(async (parent) => {
      await parent.register(async (child) => {
        child.decorate('shelf', 'b')
        child.addHook('onResponse', async function onShelf(this: FastifyInstance) {
          await wait(5)
          seen.push([(this as FastifyInstance & { shelf?: string }).shelf, user.get()])
        })
        child.get('/child', async (request) => {
          scopes.push(request.requestScope)
          user.set('eve')
          return 'ok'
        })
      })
    })
    await ask()
    await (await fetch(`http://127.0.0.1:${portOf(app)}/child`)).text()
    await expect.poll(() => scopes.every(({ sealed }) => sealed)).toBe(true)

    expect(seen).toEqual([['b', 'eve']])
    expect(app.printRoutes({ includeHooks: true })).toContain('onShelf()')
  })

  it('has them over HTTP/2', async () => {
    const seen: unknown[] = []
    const app = Fastify({ http2: true })
    onTestFinished(() => app.close())
    await app.register(logicalContext)
    app.addHook('onResponse', looking(seen) as never)
    app.get('/', async () => {
      user.set('ada')
      return 'ok'
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const session = connectHttp2(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
    onTestFinished(() => session.close())

    await once(session.request({ ':path': '/' }).resume().end(), 'end')
    await expect.poll(() => seen.length).toBe(3)

    expect(seen).toEqual(['ada', 'ada', 'ada'])
  })

  it.each<[name: string, hook: (request: FastifyRequest, reply: FastifyReply, done: Done) => unknown]>([
    ['rejects', (_request, _reply) => Promise.reject(new Error('no'))],
    [
      'throws',
      (_request, _reply, _done) => {
        throw new Error('no')
      },
    ],
    ['calls back with an error', (_request, _reply, done) => done(new Error('no'))],
    ['calls back twice', (_request, _reply, done) => void [done(), done()]],
    ['calls back, and returns a promise', (_request, _reply, done) => Promise.resolve(done())],
    ['returns a promise, and does not call back', (_request, _reply, _done) => Promise.resolve()],
    ['returns nothing, and takes no callback', (_request, _reply) => {}],
  ])('that %s does not keep the request from its end, once', async (_name, hook) => {
    const sealed: unknown[] = []
    const noted = ({ scope }: { scope: RequestScope }) => void sealed.push(scope.name)
    const { ask } = await shop((app) => app.addHook('onResponse', hook as never))
    subscribe('logical-context:scope:seal', noted as never)
    onTestFinished(() => void unsubscribe('logical-context:scope:seal', noted as never))

    await ask('POST')
    await ask('GET')
    await expect.poll(() => sealed.length).toBe(2)
    await wait(5)

    expect(sealed).toEqual(['POST /', 'GET /'])
  })

  it('is waited for by a close', async () => {
    const seen: unknown[] = []
    const { app, ask } = await shop((instance) => instance.addHook('onResponse', looking(seen)))

    await ask('POST')
    await app.close()

    expect(seen).toEqual(['ada', 'ada', 'ada'])
  })

  it('that never ends is cut off by a close, with its request’s name', async () => {
    const unfinished: string[] = []
    const options: LogicalContextOptions = {
      drainTimeoutMs: 50,
      onDrained: ({ unfinishedRequests }) => void unfinished.push(...unfinishedRequests.map(({ name }) => name)),
    }
    const { app, ask } = await shop((instance) => instance.addHook('onResponse', () => new Promise(() => {})), {
      options,
    })

    await ask('POST')
    await app.close()

    expect(unfinished).toEqual(['POST /'])
  })

  it('that Fastify refuses is refused', async () => {
    const refused = { code: 'FST_ERR_HOOK_INVALID_ASYNC_HANDLER' }
    const withCallback = async (_request: FastifyRequest, _reply: FastifyReply, _done: DoneFuncWithErrOrRes) => {}
    const app = Fastify()
    await app.register(logicalContext)

    expect(() => app.addHook('onResponse', withCallback as never)).toThrow(expect.objectContaining(refused))
    expect(() => app.addHook('onResponse', undefined as never)).toThrow(
      expect.objectContaining({ code: 'FST_ERR_HOOK_INVALID_HANDLER' }),
    )
  })
})

/** Hangs up while the request for `/slow` is in a handler or a hook that calls `entered`; waits for its end. */
async function hangUp(
  declare: (app: FastifyInstance, entered: () => void) => unknown,
  request = 'GET /slow HTTP/1.1\r\nhost: x\r\n\r\n',
): Promise<void> {
  const entered = Promise.withResolvers<void>()
  const scopes: RequestScope[] = []
  const { app } = await shop(
    (instance) => {
      instance.addHook('onRequest', async (request) => {
        scopes.push(request.requestScope)
        user.set('ada')
      })
      declare(instance, entered.resolve)
    },
    { options: { drainTimeoutMs: 200 } },
  )
  const socket = connect(portOf(app), '127.0.0.1')
  socket.write(request)
  await entered.promise
  socket.destroy()
  await expect.poll(() => scopes.map(({ sealed }) => sealed)).toEqual([true])
}

describe('a hook onRequestAbort', () => {
  const slowly = (entered: () => void) => async (_request: FastifyRequest, reply: FastifyReply) => {
    entered()
    // After a reply that is complete before the disconnect there is nothing to abort.
    await once(reply.raw, 'close')
    return 'ok'
  }

  it('has the values until its promise has settled, and after others', async () => {
    const seen: unknown[] = []

    await hangUp((app, entered) => {
      app.addHook('onRequestAbort', looking(seen))
      app.get('/slow', { onRequestAbort: looking(seen) }, slowly(entered))
    })

    expect(seen).toEqual(Array(6).fill('ada'))
  })

  it('has them until it calls back', async () => {
    const seen: unknown[] = []

    await hangUp((app, entered) => {
      app.addHook('onRequestAbort', (_request, done) => void looking(seen)().then(() => done()))
      app.get('/slow', slowly(entered))
    })

    expect(seen).toEqual(['ada', 'ada', 'ada'])
  })

  it('that takes no callback and returns no promise does not postpone the end of the request', async () => {
    const seen: unknown[] = []

    await hangUp((app, entered) => {
      app.addHook('onRequestAbort', ((request: FastifyRequest) => void seen.push(request.url)) as never)
      app.get('/slow', slowly(entered))
    })

    expect(seen).toEqual(['/slow'])
  })

  it('that Fastify refuses is refused', async () => {
    const app = Fastify()
    await app.register(logicalContext)

    expect(() => app.addHook('onRequestAbort', async () => {})).toThrow(
      expect.objectContaining({ code: 'FST_ERR_HOOK_INVALID_ASYNC_HANDLER' }),
    )
  })
})

describe('a hook that replies in place of its callback', () => {
  it('does not postpone the end of the request after the reply', async () => {
    const { app } = await shop((instance) => {
      instance.get('/secret', { preHandler: (_request, reply, _done) => void reply.code(401).send('no') }, () => 'yes')
    })
    const scopes: RequestScope[] = []
    const noted = ({ scope }: { scope: RequestScope }) => void scopes.push(scope)
    subscribe('logical-context:scope:seal', noted as never)
    onTestFinished(() => void unsubscribe('logical-context:scope:seal', noted as never))

    const { status } = await fetch(`http://127.0.0.1:${portOf(app)}/secret`)
    await expect.poll(() => scopes.map(({ name }) => name)).toEqual(['GET /secret'])

    expect(status).toBe(401)
  })

  it.each<[name: string, answer: (reply: FastifyReply) => unknown]>([
    ['a text', (reply) => reply.code(401).send('no')],
    ['a stream', (reply) => reply.send(Readable.from(['no']))],
    ['a reply of its own', (reply) => reply.hijack().raw.end('no')],
    ['a part of one', (reply) => reply.hijack().raw.write('n')],
  ])('does not postpone the end when it sends %s to a client that disconnected', async (_name, answer) => {
    const seen: unknown[] = []

    await hangUp((app, entered) => {
      const preHandler = (_request: FastifyRequest, reply: FastifyReply, _done: Done) => {
        entered()
        setTimeout(() => {
          seen.push(user.get())
          answer(reply)
        }, 10)
      }
      app.get('/slow', { preHandler }, () => 'yes')
    })

    expect(seen).toEqual(['ada'])
  })

  it.each<[name: string, begin: (reply: FastifyReply) => unknown]>([
    ['a stream', (reply) => reply.send(endless())],
    ['a reply of its own', (reply) => reply.hijack().raw.write('and so on')],
  ])('lets it end when its client hangs up in %s', async (_name, begin) => {
    await hangUp((app, entered) => {
      const preHandler = (_request: FastifyRequest, reply: FastifyReply, _done: Done) => {
        begin(reply)
        setTimeout(entered, 10)
      }
      app.get('/slow', { preHandler }, () => 'yes')
    })
  })
})

/** A stream that emits something, and never ends. */
function endless(): Readable {
  return new Readable({ read() {} }).once('resume', function onResume(this: Readable) {
    this.push('and so on')
  })
}

describe('hooks that wait to call back', () => {
  it('leave no listener', async () => {
    const counts: number[] = []
    const { ask } = await shop((app) => {
      for (let hook = 0; hook < 12; hook++)
        app.addHook('preHandler', (_request, _reply, done) => void setTimeout(done, 1))
      app.addHook('onSend', async (_request, reply) => {
        counts.push(reply.raw.listenerCount('close'))
      })
    })
    const plain = await shop((app) => {
      app.addHook('onSend', async (_request, reply) => {
        counts.push(reply.raw.listenerCount('close'))
      })
    })

    await ask()
    await plain.ask()

    expect(counts[0]).toBe(counts[1])
  })
})

describe('after a hang-up the values are still there', () => {
  it('in a hook that waits to call back, and in all after it', async () => {
    const seen: unknown[] = []
    const waiting = (_request: FastifyRequest, _reply: FastifyReply, done: Done) => {
      void looking(seen)().then(() => done())
    }

    await hangUp((app, entered) => {
      app.addHook('preHandler', (_request, _reply, done) => {
        entered()
        setTimeout(done, 10)
      })
      app.addHook('preHandler', waiting)
      app.get('/slow', { preHandler: waiting }, looking(seen))
    })

    expect(seen).toEqual(Array(9).fill('ada'))
  })

  it.each(['preParsing', 'preValidation', 'preHandler'] as const)(
    'in a hook %s that had begun, in all after it, in the handler and in the hooks of the reply',
    async (name) => {
      const seen: unknown[] = []

      await hangUp((app, entered) => {
        app.addHook(name as 'preHandler', async () => {
          entered()
          await looking(seen)()
          user.set('eve')
        })
        app.addHook('preHandler', (_request, _reply, done) => {
          setTimeout(() => {
            seen.push(user.get())
            done()
          }, 5)
        })
        app.addHook('preSerialization', looking(seen))
        app.addHook('onSend', looking(seen))
        app.get('/slow', async () => {
          await looking(seen)()
          return { some: 'object' }
        })
      })

      expect(seen).toEqual(['ada', 'ada', 'ada', ...Array(10).fill('eve')])
    },
  )

  it('in the handlers of errors, of the app and of a route, and in the hook before them', async () => {
    const seen: unknown[] = []
    const fail = (entered: () => void) => async () => {
      entered()
      await wait(10)
      throw new Error('no')
    }
    const declare = (app: FastifyInstance) => {
      app.addHook('onError', looking(seen))
      app.setErrorHandler(async () => {
        await looking(seen)()
        return 'sorry'
      })
    }

    await hangUp((app, entered) => {
      declare(app)
      app.get('/slow', fail(entered))
    })
    await hangUp((app, entered) => {
      declare(app)
      const route = {
        errorHandler: async () => {
          await looking(seen)()
          return 'sorry'
        },
      }
      app.get('/slow', route, fail(entered))
    })

    expect(seen).toEqual(Array(12).fill('ada'))
  })

  it('in a body parser that returns a promise, and in all after it', async () => {
    const seen: unknown[] = []

    await hangUp((app, entered) => {
      app.addContentTypeParser('text/own', { parseAs: 'string' }, async (_request: FastifyRequest, body: unknown) => {
        entered()
        await looking(seen)()
        return body
      })
      app.post('/slow', { preHandler: looking(seen) }, async ({ body }) => {
        await looking(seen)()
        seen.push(body)
      })
    }, 'POST /slow HTTP/1.1\r\nhost: x\r\ncontent-type: text/own\r\ncontent-length: 2\r\n\r\nhi')

    expect(seen).toEqual([...Array(9).fill('ada'), 'hi'])
  })

  it('not for the sake of a parser in callback style, which may never call back for what breaks off', async () => {
    await hangUp((app, entered) => {
      const parser = (_request: FastifyRequest, payload: Readable, done: Done) => {
        entered()
        payload.resume().on('end', () => done())
      }
      app.addContentTypeParser('text/own', parser as never)
      app.post('/slow', () => 'ok')
    }, 'POST /slow HTTP/1.1\r\nhost: x\r\ncontent-type: text/own\r\ncontent-length: 2\r\n\r\nh')
  })

  it('in the hooks of the handler of what is not found', async () => {
    const seen: unknown[] = []
    const hooks = (entered: () => void) => ({
      preValidation: async () => {
        entered()
        await looking(seen)()
      },
      preHandler: [looking(seen), looking(seen)] as never,
    })

    await hangUp((app, entered) => app.setNotFoundHandler(hooks(entered), looking(seen)))

    expect(seen).toEqual(Array(12).fill('ada'))
  })

  it('in the handler of what is not found', async () => {
    const seen: unknown[] = []

    await hangUp((app, entered) =>
      app.setNotFoundHandler(async () => {
        entered()
        await looking(seen)()
        return 'nothing here'
      }),
    )

    expect(seen).toEqual(['ada', 'ada', 'ada'])
  })
})
