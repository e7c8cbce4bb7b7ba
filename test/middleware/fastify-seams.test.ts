import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import cookie from '@fastify/cookie'
import expressPlugin from '@fastify/express'
import middie from '@fastify/middie'
import { fastifyRequestContext } from '@fastify/request-context'
import session from '@fastify/session'
import { Router } from 'express'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { ContextVar, spawn } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type CallIn, foreigners, OtherRequest, urlOf } from './foreign-context.ts'

const user = new ContextVar<string>('user')

interface Look {
  (place: string): void
}

interface Setup {
  /** Adds hooks before the plugin is registered. */
  before?: (app: FastifyInstance, callIn: CallIn, look: Look) => unknown
  /** Adds hooks and the route `/` after it. */
  after: (app: FastifyInstance, callIn: CallIn, look: Look) => unknown
}

/** Serves `/` and looks at the user in all later places. Returns what was seen where. */
async function serve(
  foreigner: (typeof foreigners)[number],
  { before, after }: Setup,
  request: RequestInit & { path?: string } = {},
): Promise<{ seen: Record<string, unknown>; status: number; text: string }> {
  const app = Fastify()
  onTestFinished(() => app.close())
  const other = new OtherRequest(foreigner)
  const seen: Record<string, unknown> = {}
  const look: Look = (place) => {
    // Of several looks, one at a wrong value counts.
    if (seen[place] === undefined || seen[place] === 'ann') seen[place] = user.get() ?? 'nothing'
  }
  // Not in the other request: it has the hooks too.
  const isAnn = ({ url }: FastifyRequest) => url !== '/other'
  const lookAs = (place: string) => async (of: FastifyRequest) => void (isAnn(of) && look(place))
  await Promise.resolve(before?.(app, other.callIn, look))
  await app.register(logicalContext)
  app.addHook('onRequest', async (of) => void (isAnn(of) && user.set('ann')))
  other.declare(app, () => user.set('bob'))
  await Promise.resolve(after(app, other.callIn, look))
  app.addHook('onRequest', lookAs('onRequest'))
  app.addHook('preParsing', lookAs('preParsing'))
  app.addHook('preValidation', lookAs('preValidation'))
  app.addHook('preHandler', lookAs('preHandler'))
  app.addHook('preSerialization', lookAs('preSerialization'))
  app.addHook('onSend', lookAs('onSend'))
  app.addHook('onError', lookAs('onError'))
  const ended = Promise.withResolvers<void>()
  app.addHook('onResponse', async (of) => {
    if (!isAnn(of)) return
    look('onResponse')
    ended.resolve()
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await other.enter(app)
  const { path = '/', ...init } = request
  const response = await fetch(`${urlOf(app)}${path}`, init)
  const text = await response.text()
  await ended.promise
  return { seen, status: response.status, text }
}

const answer = (look: Look) => async () => {
  look('handler')
  await Promise.resolve()
  return { user: user.get() }
}

type Middleware = (request: { url?: string }, response: unknown, next: () => void) => void
/** A middleware that calls `next` in the foreign context, but not for the other request. */
const inForeign =
  (callIn: CallIn): Middleware =>
  ({ url }, _response, next) => {
    if (url === '/other') next()
    else callIn(() => next())
  }
const lookHere =
  (look: Look, place: string): Middleware =>
  ({ url }, _response, next) => {
    if (url !== '/other') look(place)
    next()
  }

const hooks = ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'preSerialization', 'onSend'] as const
type Hook = (typeof hooks)[number]
/** A hook in callback style that is called back in the foreign context, but not for the other request. */
function calledBack(callIn: CallIn, error?: Error) {
  return (request: FastifyRequest, _reply: FastifyReply, ...rest: unknown[]) => {
    const done = rest.at(-1) as (error?: Error) => void
    if (request.url === '/other') done()
    else callIn(() => done(error))
  }
}
/** Fastify reads the number of arguments. */
function asHook(name: Hook | 'onError' | 'onResponse', hook: ReturnType<typeof calledBack>): never {
  const three = (request: FastifyRequest, reply: FastifyReply, done: unknown) => hook(request, reply, done)
  const four = (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: unknown) =>
    hook(request, reply, payload, done)
  return (['preParsing', 'preSerialization', 'onSend', 'onError'].includes(name) ? four : three) as never
}
/** As compression and sessions do. */
function replaceMethods(raw: FastifyReply['raw'], look: Look): void {
  for (const name of ['writeHead', 'write', 'end'] as const) {
    const method = raw[name] as (...args: unknown[]) => unknown
    const replacement = function (this: unknown, ...args: unknown[]) {
      look(name)
      return method.apply(this, args)
    }
    Object.assign(raw, { [name]: replacement })
  }
}
function all(places: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(places.map((place) => [place, 'ann']))
}
const answered = [...hooks, 'handler', 'onResponse']

describe.each(foreigners)('the context of a request, with a callback of %s', (foreigner) => {
  it.each(hooks)('is its own after a hook %s of the app', async (name) => {
    const { seen, text } = await serve(foreigner, {
      after: (app, callIn, look) => {
        app.addHook(name as 'onRequest', asHook(name, calledBack(callIn)))
        app.get('/', answer(look))
      },
    })

    expect(seen).toEqual(all(answered))
    expect(text).toBe('{"user":"ann"}')
  })

  it.each(hooks.slice(1))('is its own after a hook %s that was added before the plugin', async (name) => {
    const { seen } = await serve(foreigner, {
      before: (app, callIn) => app.addHook(name as 'onRequest', asHook(name, calledBack(callIn))),
      after: (app, _callIn, look) => app.get('/', answer(look)),
    })

    expect(seen).toEqual(all(answered))
  })

  it.each(hooks)('is its own after a hook %s of a route, and of a plugin around it', async (name) => {
    const { seen } = await serve(
      foreigner,
      {
        after: (app, callIn, look) => {
          app.get('/', { [name]: asHook(name, calledBack(callIn)) }, answer(look))
          return app.register(async (child) => {
            child.addHook(name as 'onRequest', asHook(name, calledBack(callIn)))
            child.get('/child', { [name]: [asHook(name, calledBack(callIn))] }, answer(look))
          })
        },
      },
      { path: '/child' },
    )

    expect(seen).toEqual(all(answered))
  })

  it('is its own in the hooks of an error, and in its handler, after a hook onError', async () => {
    const { seen } = await serve(foreigner, {
      after: (app, callIn, look) => {
        app.addHook('onError', asHook('onError', calledBack(callIn)))
        app.setErrorHandler((error, _request, reply) => {
          look('error handler')
          void reply.code(500).send({ error: String(error) })
        })
        app.get('/', async () => {
          throw new Error('no')
        })
      },
    })

    expect(seen).toEqual(all([...hooks, 'onError', 'error handler', 'onResponse']))
  })

  it('is its own after a hook that fails', async () => {
    const { seen } = await serve(foreigner, {
      after: (app, callIn, look) => {
        app.addHook('preValidation', asHook('preValidation', calledBack(callIn, new Error('no'))))
        app.setErrorHandler(async (error) => {
          look('error handler')
          return { error: String(error) }
        })
        app.get('/', answer(look))
      },
    })

    expect(seen).toEqual(
      all(['onRequest', 'preParsing', 'onError', 'error handler', 'preSerialization', 'onSend', 'onResponse']),
    )
  })

  it('is its own after a hook onResponse', async () => {
    const { seen } = await serve(foreigner, {
      after: (app, callIn, look) => {
        app.addHook('onResponse', asHook('onResponse', calledBack(callIn)))
        app.get('/', answer(look))
      },
    })

    expect(seen).toEqual(all(answered))
  })

  it('is its own if a handler replies there: in the serializer, the hooks and the events after it', async () => {
    const { seen } = await serve(foreigner, {
      after: (app, callIn, look) => {
        app.get('/', (_request, reply) => {
          look('handler')
          reply.raw.on('finish', () => look('finish'))
          reply.serializer((payload) => {
            look('serializer')
            return JSON.stringify(payload)
          })
          callIn(() => void reply.send({ some: 'object' }))
        })
      },
    })

    expect(seen).toEqual(all([...answered, 'serializer', 'finish']))
  })

  it('is its own if a handler fails there, also for an error handler that replies there', async () => {
    const { seen, status } = await serve(foreigner, {
      after: (app, callIn, look) => {
        app.setErrorHandler((_error, _request, reply) => {
          look('error handler')
          callIn(() => void reply.code(418).send({}))
        })
        app.get('/', (_request, reply) => {
          callIn(() => void reply.send(new Error('no')))
        })
      },
    })

    expect(status).toBe(418)
    expect(seen).toEqual(all([...hooks, 'onError', 'error handler', 'onResponse']))
  })

  it('is its own in the handler of what is not found, after its hooks and after callNotFound()', async () => {
    const setup: Setup = {
      after: (app, callIn, look) => {
        app.setNotFoundHandler({ preHandler: asHook('preHandler', calledBack(callIn)) }, (_request, reply) => {
          look('not found')
          void reply.code(404).send({})
        })
        app.get('/', (_request, reply) => callIn(() => reply.callNotFound()))
      },
    }
    const missing = await serve(foreigner, setup, { path: '/missing' })
    const called = await serve(foreigner, setup)

    expect([missing.status, called.status]).toEqual([404, 404])
    expect(missing.seen).toEqual(all([...hooks, 'not found', 'onResponse']))
    expect(called.seen).toEqual(all([...hooks, 'not found', 'onResponse']))
  })

  it('is its own in a body parser that reads a stream of that context, and after its callback', async () => {
    const { seen, text } = await serve(
      foreigner,
      {
        after: (app, callIn, look) => {
          app.addHook('preParsing', (request, _reply, payload, done) => {
            const own = new PassThrough()
            if (request.url === '/other') return done(null, payload)
            callIn(() => payload.pipe(own))
            done(null, own)
          })
          app.addContentTypeParser('text/own', { parseAs: 'string' }, (_request, body, done) => {
            look('parser')
            callIn(() => done(null, body))
          })
          app.post('/', async ({ body }) => {
            look('handler')
            return { body }
          })
        },
      },
      { method: 'POST', body: 'hi', headers: { 'content-type': 'text/own' } },
    )

    expect(seen).toEqual(all([...answered, 'parser']))
    expect(text).toBe('{"body":"hi"}')
  })

  it('is its own after a foreign thenable, of a hook and of a handler', async () => {
    const { seen } = await serve(foreigner, {
      after: (app, callIn, look) => {
        const thenable = (value?: unknown) => ({
          then: (resolve: (value: unknown) => void) => callIn(() => resolve(value)),
        })
        app.addHook('preHandler', ((request: FastifyRequest) =>
          request.url === '/other' ? Promise.resolve() : thenable()) as never)
        app.addHook('preValidation', (async (request: FastifyRequest) =>
          request.url === '/other' ? undefined : thenable()) as never)
        app.get('/', () => {
          look('handler')
          return thenable({ some: 'object' })
        })
      },
    })

    expect(seen).toEqual(all(answered))
  })

  it('is its own in a trailer of a stream that ends there', async () => {
    const { seen } = await serve(foreigner, {
      after: (app, callIn, look) => {
        app.get('/', (_request, reply) => {
          const stream = new PassThrough()
          reply.trailer('etag', async () => {
            look('trailer')
            return 'x'
          })
          callIn(() => stream.end('hi'))
          return reply.send(stream)
        })
      },
    })

    expect(seen).toMatchObject({ trailer: 'ann', onResponse: 'ann' })
  })

  it('is its own if a stream that is the reply fails there', async () => {
    const { seen } = await serve(foreigner, {
      after: (app, callIn, look) => {
        app.setErrorHandler(async () => {
          look('error handler')
          return { error: 'no' }
        })
        app.get('/', (_request, reply) => {
          const stream = new Readable({ read() {} })
          callIn(() => stream.destroy(new Error('no')))
          return reply.send(stream)
        })
      },
    })

    expect(seen).toMatchObject({ onError: 'ann', 'error handler': 'ann', onResponse: 'ann' })
  })

  it.each<[name: string, setUp: Setup['after'], places: readonly string[]]>([
    [
      'a hook, before a later hook replies',
      (app, callIn, look) => {
        app.addHook('onRequest', async ({ url }, { raw }) => url === '/other' || replaceMethods(raw, look))
        app.addHook('preHandler', ({ url }, { raw }, done) => (url === '/other' ? done() : callIn(() => raw.end('ok'))))
        app.get('/', answer(look))
      },
      ['end'],
    ],
    [
      'a handler in callback style',
      (app, callIn, look) =>
        app.get('/', (_request, { raw }) => {
          replaceMethods(raw, look)
          callIn(() => raw.writeHead(200).end('ok'))
        }),
      ['writeHead', 'end'],
    ],
    [
      'an async handler that hijacks before',
      (app, callIn, look) =>
        app.get('/', async (_request, reply) => {
          reply.hijack()
          await Promise.resolve()
          replaceMethods(reply.raw, look)
          callIn(() => reply.raw.writeHead(200).end('ok'))
        }),
      ['writeHead', 'end'],
    ],
    [
      'an async handler that returns the reply',
      (app, callIn, look) =>
        app.get('/', async (_request, reply) => {
          await Promise.resolve()
          replaceMethods(reply.raw, look)
          callIn(() => reply.raw.writeHead(200).end('ok'))
          return reply
        }),
      ['writeHead', 'end'],
    ],
    [
      'a hook, before a stream that is the reply produces there',
      (app, callIn, look) => {
        app.addHook('onRequest', async ({ url }, { raw }) => url === '/other' || replaceMethods(raw, look))
        app.get('/', (_request, reply) => {
          const stream = new PassThrough()
          callIn(() => stream.end('ok'))
          return reply.send(stream)
        })
      },
      ['writeHead', 'write', 'end'],
    ],
  ])('is its own in the methods of the response that are replaced by %s', async (_name, setUp, places) => {
    const { seen, text } = await serve(foreigner, { after: setUp })

    expect(seen).toMatchObject(all(places))
    expect(text).toBe('ok')
  })

  it('keeps a block and another storage that a hook has opened around its callback', async () => {
    const storage = new AsyncLocalStorage<string>()
    const tenant = new ContextVar<string>('tenant')
    const inside: unknown[] = []
    await serve(foreigner, {
      after: (app, callIn, look) => {
        app.addHook('onRequest', (_request, _reply, done) => tenant.run('acme', () => storage.run('span', done)))
        app.addHook('preHandler', asHook('preHandler', calledBack(callIn)))
        app.get('/', (_request, reply) => {
          look('handler')
          inside.push(tenant.get(), storage.getStore())
          callIn(() => void reply.send({}))
        })
        app.addHook('onSend', async (request) => {
          if (request.url !== '/other') inside.push(tenant.get(), storage.getStore())
        })
      },
    })

    expect(inside).toEqual(['acme', 'span', 'acme', 'span'])
  })

  it('is not that of a task of the request that calls back', async () => {
    const afterwards: unknown[] = []
    await serve(foreigner, {
      after: (app, _callIn, look) => {
        app.addHook('preHandler', (request, _reply, done) => {
          if (request.url === '/other') return done()
          spawn(async () => {
            user.set('the task')
            await Promise.resolve()
            done()
          })
        })
        app.get('/', async () => {
          look('handler')
          user.set('ann, later')
          return {}
        })
        app.addHook('onResponse', async (request) => {
          if (request.url !== '/other') afterwards.push(user.get())
        })
      },
    })

    expect(afterwards).toEqual(['ann, later'])
  })
})

describe('a reply to HEAD', () => {
  it('has the values where its stream is produced, which Fastify reads to its end', async () => {
    const app = Fastify()
    onTestFinished(() => app.close())
    const seen: unknown[] = []
    await app.register(logicalContext)
    app.get('/', async () => {
      user.set('ann')
      const produce = async function* () {
        for (let part = 0; part < 3; part++) {
          seen.push(user.get())
          yield 'x'.repeat(100_000)
          await new Promise((resolve) => setImmediate(resolve))
        }
        seen.push('end')
      }
      return Readable.from(produce())
    })
    await app.listen({ port: 0, host: '127.0.0.1' })

    await fetch(urlOf(app), { method: 'HEAD' })

    await expect.poll(() => seen).toEqual(['ann', 'ann', 'ann', 'end'])
  })
})

describe.each(foreigners)('with the packages of others, called back by %s', (foreigner) => {
  it('@fastify/session: a store on a shared client', async () => {
    const { seen, status } = await serve(
      foreigner,
      {
        before: async (app, callIn) => {
          const sessions = new Map<string, unknown>()
          const store = Object.assign(new EventEmitter(), {
            get: (id: string, done: (error: unknown, value?: unknown) => void) =>
              callIn(() => done(null, sessions.get(id) ?? null)),
            set: (id: string, value: unknown, done: (error?: unknown) => void) =>
              callIn(() => done(void sessions.set(id, value))),
            destroy: (id: string, done: (error?: unknown) => void) => callIn(() => done(void sessions.delete(id))),
          })
          await app.register(cookie)
          await app.register(session, {
            secret: 'a secret of at least thirty-two characters',
            cookie: { secure: false },
            store: store as never,
            saveUninitialized: false,
          })
        },
        after: (app, _callIn, look) => {
          app.get('/', async (request) => {
            look('handler')
            ;(request.session as unknown as { views: number }).views = 1
            return {}
          })
        },
      },
      { headers: { cookie: 'sessionId=abcdefghijklmnopqrstuvwxyzabcdef.x' } },
    )

    expect(status).toBe(200)
    expect(seen).toEqual(all(answered))
  })

  it.each(['before', 'after'] as const)('@fastify/middie, registered %s the plugin', async (when) => {
    const { seen } = await serve(foreigner, {
      before: async (app) => when === 'before' && app.register(middie, { hook: 'preHandler' }),
      after: async (app, callIn, look) => {
        if (when === 'after') await app.register(middie)
        app.use(inForeign(callIn))
        app.use('/', [lookHere(look, 'second'), inForeign(callIn)] as never)
        await app.register(async (inner) => {
          inner.use(lookHere(look, 'inner'))
          inner.get('/', answer(look))
        })
      },
    })

    expect(seen).toEqual(all(['second', 'inner', ...answered]))
  })

  it('@fastify/express: a middleware registered after the plugin', async () => {
    const names: string[] = []
    const { seen } = await serve(foreigner, {
      after: async (app, callIn, look) => {
        await app.register(expressPlugin)
        const router = Router()
        router.use(lookHere(look, 'router'), inForeign(callIn))
        router.get('/{*path}', lookHere(look, 'route'))
        app.use(inForeign(callIn))
        app.use(router)
        app.addHook('preHandler', async ({ url, requestScope }) => void (url === '/' && names.push(requestScope.name)))
        app.get('/', answer(look))
      },
    })

    expect(seen).toEqual(all(['router', 'route', ...answered]))
    expect(names).toEqual(['GET /'])
  })

  it('@fastify/request-context, registered first', async () => {
    const { seen } = await serve(foreigner, {
      before: (app) => app.register(fastifyRequestContext),
      after: (app, callIn, look) => {
        app.addHook('preHandler', asHook('preHandler', calledBack(callIn)))
        app.get('/', (request, reply) => {
          look('handler')
          request.requestContext.set('mine' as never, 'kept' as never)
          callIn(() => void reply.send({}))
        })
      },
    })

    expect(seen).toEqual(all(answered))
  })
})
