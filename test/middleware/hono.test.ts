import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { connect } from 'node:http2'
import { createServer as createHttp2Server } from 'node:http2'
import { Readable } from 'node:stream'
import { createAdaptorServer, type HttpBindings, upgradeWebSocket } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { type Context, type ErrorHandler, Hono, type MiddlewareHandler, type Next } from 'hono'
import { requestId as honoRequestId } from 'hono/request-id'
import { stream } from 'hono/streaming'
import { timeout } from 'hono/timeout'
import { ContextVar, type RequestScope, spawn } from 'logical-context'
import defaultExport, { logicalContext } from 'logical-context/middleware/hono'
import { logicalContext as webSocketContext } from 'logical-context/middleware/websocket'
import { describeMiddleware } from 'logical-context/testing'
import { requestId } from 'logical-context/variables'
import { describe, expect, it, onTestFinished } from 'vitest'
import { WebSocketServer } from 'ws'
import { closeOf, describeNodeServer, listen, scopeOf, urlOf } from '../contracts/node-server.ts'

const user = new ContextVar<string>('user')
type Env = { Bindings: HttpBindings }

function serverOf(app: Hono<Env>): Server {
  return createAdaptorServer({ fetch: app.fetch }) as Server
}

function responseOf(body: unknown): Response {
  if (body instanceof Readable) return new Response(Readable.toWeb(body) as ReadableStream)
  return new Response(body as string)
}

describeMiddleware({ describe, it, expect }, 'the middleware for Hono', async (handler) => {
  const app = new Hono<Env>()
  app.use(logicalContext())
  app.get('*', async (c) => c.json((await handler(c.req.path, scopeOf(c.env.incoming))) as object))
  app.onError((_error, c) => c.text('no', 500))
  const server = await listen(serverOf(app))
  return { url: urlOf(server), close: () => closeOf(server) }
})
describeNodeServer('the middleware for Hono', async (handler, options) => {
  const app = new Hono<Env>()
  app.use(logicalContext(options))
  app.all('*', async (c) => {
    const { incoming, outgoing } = c.env
    const body = await handler({ request: incoming, response: outgoing, scope: scopeOf(incoming) })
    return outgoing.headersSent ? RESPONSE_ALREADY_SENT : responseOf(body)
  })
  app.onError((_error, c) => c.text('no', 500))
  return listen(serverOf(app))
})

/** Serves an app; the text of the reply. */
async function serve(
  register: (app: Hono<Env>) => void,
): Promise<(path?: string, init?: RequestInit) => Promise<string>> {
  const app = new Hono<Env>()
  register(app)
  const server = await listen(serverOf(app))
  onTestFinished(() => closeOf(server))
  return async (path = '/', init = {}) => (await fetch(`${urlOf(server)}${path}`, init)).text()
}

const setAnn: MiddlewareHandler = async (_c, next) => {
  user.set('ann')
  await next()
}
const answerUser = (c: Context) => c.text(String(user.get()))

/** A middleware that calls `next` in the context of another request, as the callback of a shared client does. */
function callsNextElsewhere(): MiddlewareHandler {
  const elsewhere = new AsyncResource('other')
  return (_c: Context, next: Next) =>
    new Promise<void>((resolve, reject) =>
      setImmediate(() => elsewhere.runInAsyncScope(() => void next().then(resolve, reject))),
    )
}

describe('logicalContext of middleware/hono', () => {
  it('is the default export too, and has the name of its factory', () => {
    expect(defaultExport).toBe(logicalContext)
    expect(logicalContext().name).toBe('logicalContext')
  })

  it('has the values in middlewares, handlers, and the handlers of errors and unknown paths', async () => {
    const seen: string[] = []
    const look = (stage: string) => seen.push(`${stage} ${user.get()}`)
    const ask = await serve((app) => {
      app.use(logicalContext(), setAnn)
      app.use(async (_c, next) => {
        look('before')
        await next()
        look('after')
      })
      const orders = new Hono<Env>()
      orders.get('/:id', async (c) => {
        look(`handler ${c.req.param('id')}`)
        return c.text('ok')
      })
      app.route('/orders', orders)
      app.get('/fails', () => {
        throw new Error('no')
      })
      app.onError((error, c) => {
        look(`onError ${error.message}`)
        return c.text('failed', 500)
      })
      app.notFound((c) => {
        look('notFound')
        return c.text('nothing', 404)
      })
    })

    expect([await ask('/orders/1'), await ask('/fails'), await ask('/nowhere')]).toEqual(['ok', 'failed', 'nothing'])
    expect(seen).toEqual([
      ...['before ann', 'handler 1 ann', 'after ann'],
      ...['before ann', 'onError no ann', 'after ann'],
      ...['before ann', 'notFound ann', 'after ann'],
    ])
  })

  it.each<[name: string, respond: (c: Context) => Response]>([
    [
      'a stream of the program',
      () => {
        let count = 0
        const pull = (controller: ReadableStreamDefaultController) => {
          controller.enqueue(new TextEncoder().encode(`${user.get()} `))
          if (++count === 3) controller.close()
        }
        return new Response(new ReadableStream({ pull }, { highWaterMark: 0 }))
      },
    ],
    [
      'a stream with headers',
      (c) => {
        let count = 0
        const pull = async (controller: ReadableStreamDefaultController) => {
          await new Promise((resolve) => setImmediate(resolve))
          controller.enqueue(new TextEncoder().encode(`${user.get()} `))
          if (++count === 3) controller.close()
        }
        c.header('x-kind', 'stream')
        return c.body(new ReadableStream({ pull }))
      },
    ],
    [
      'the helper for streams',
      (c) =>
        stream(c, async (out) => {
          for (let i = 0; i < 3; i++) {
            await new Promise((resolve) => setImmediate(resolve))
            await out.write(`${user.get()} `)
          }
        }),
    ],
  ])('has the values in %s', async (_name, respond) => {
    const ask = await serve((app) => {
      app.use(logicalContext(), setAnn)
      app.get('/', respond)
    })

    expect(await ask()).toBe('ann ann ann ')
  })

  it('keeps the headers and the status of a stream, and cancels it with the response', async () => {
    const cancelled = Promise.withResolvers<unknown>()
    const app = new Hono<Env>()
    app.use(logicalContext(), setAnn)
    app.get('/', (c) => {
      const body = new ReadableStream({
        pull: (controller) => controller.enqueue(new TextEncoder().encode('x')),
        cancel: () => cancelled.resolve(user.get()),
      })
      c.header('x-kind', 'stream')
      return c.body(body, 201)
    })
    const server = await listen(serverOf(app))
    onTestFinished(() => closeOf(server))
    const hangUp = new AbortController()

    const response = await fetch(urlOf(server), { signal: hangUp.signal })
    hangUp.abort()

    expect([response.status, response.headers.get('x-kind')]).toEqual([201, 'stream'])
    expect(await cancelled.promise).toBe('ann')
  })

  it.each<[name: string, register: (app: Hono<Env>) => void]>([
    ['a middleware', (app) => void app.use(callsNextElsewhere()).get('/', answerUser)],
    ['a handler of a route', (app) => void app.get('/', callsNextElsewhere(), answerUser)],
    [
      'a middleware of an app that is mounted',
      (app) => {
        const child = new Hono<Env>()
        child.use(callsNextElsewhere())
        child.get('/', answerUser)
        app.route('/', child)
      },
    ],
    ['a middleware before an unknown path', (app) => void app.use(callsNextElsewhere()).notFound(answerUser)],
    [
      'a middleware before an error',
      (app) => {
        app.use(callsNextElsewhere())
        app.get('/', () => Promise.reject(new Error('no')))
        app.onError((_error, c) => answerUser(c))
      },
    ],
  ])('stays in its unit where %s calls `next` elsewhere', async (_name, register) => {
    const ask = await serve((app) => {
      app.use(logicalContext(), setAnn)
      register(app)
    })

    expect([await ask(), await ask()]).toEqual(['ann', 'ann'])
  })

  it('keeps the contexts of other libraries after a `next` from elsewhere', async () => {
    const storage = new AsyncLocalStorage<string>()
    const ask = await serve((app) => {
      app.use(logicalContext(), setAnn)
      app.use((_c, next) => storage.run('kept', next))
      app.use(callsNextElsewhere())
      app.get('/', (c) => c.text(`${user.get()} ${storage.getStore()}`))
    })

    expect(await ask()).toBe('ann kept')
  })

  it('names the unit after the pattern of its route', async () => {
    const ask = await serve((app) => {
      const answerName = (c: Context) => c.text(c.get('requestScope').name)
      app.use(logicalContext())
      app.get('/orders/:id', answerName)
      app.notFound(answerName)
    })

    expect([await ask('/orders/1?a=b'), await ask('/secret')]).toEqual(['GET /orders/:id', 'GET'])
  })

  it('has the policy of the app again in the middlewares around these paths, after them', async () => {
    const policies: unknown[] = []
    const ask = await serve((app) => {
      app.use(logicalContext())
      app.use(async (_c, next) => {
        await next()
        policies.push(spawn(() => {}).policy)
      })
      app.use('/reports/*', logicalContext({ policy: 'isolate' }))
      app.get('/reports/1', (c) => {
        policies.push(spawn(() => {}).policy)
        return c.text('')
      })
    })

    await ask('/reports/1')

    expect(policies).toEqual(['isolate', 'inherit'])
  })

  it('has a policy for some paths', async () => {
    const seenByTask = async (c: Context) => c.text(await spawn(() => user.get() ?? 'nothing').result())
    const ask = await serve((app) => {
      app.use(logicalContext(), setAnn)
      app.use('/reports/*', logicalContext({ policy: 'isolate' }))
      app.get('/reports/all', seenByTask)
      app.get('/orders', seenByTask)
    })

    expect([await ask('/reports/all'), await ask('/orders')]).toEqual(['nothing', 'ann'])
  })

  it('fails a request that a second registration receives, with an error that has the reason', async () => {
    const ask = await serve((app) => {
      app.use(logicalContext())
      app.use(logicalContext({ drainTimeoutMs: 1 }))
      app.onError((error, c) => c.text(`${error.name}: ${error.message}`))
    })

    expect(await ask()).toMatch(/^TypeError: logicalContext: this request has a unit already, of an earlier/)
  })

  it('refuses wrong options', () => {
    expect(() => logicalContext({ polcy: 'isolate' } as object)).toThrow(/logicalContext: unknown option 'polcy'/)
  })

  it('keeps the values for a handler that hono/timeout does not wait for', async () => {
    const go = Promise.withResolvers<void>()
    const seen: unknown[] = []
    const ask = await serve((app) => {
      app.use(logicalContext(), timeout(1), setAnn)
      app.get('/', async (c) => {
        await go.promise
        seen.push(user.get())
        return c.text('late')
      })
    })

    expect(await ask()).toBe('Gateway Timeout')
    go.resolve()

    await expect.poll(() => seen).toEqual(['ann'])
  })

  it('keeps them for a middleware too, and for a handler that has passed on an earlier request', async () => {
    const go = Promise.withResolvers<void>()
    const seen: unknown[] = []
    const look: MiddlewareHandler = async (c, next) => {
      if (c.req.path === '/orders/new') return next()
      await go.promise
      seen.push(user.get())
      return c.text('late')
    }
    const ask = await serve((app) => {
      app.use(logicalContext(), timeout(1), setAnn)
      app.use('/orders/*', look)
      app.get('/orders/new', (c) => c.text('new'))
      app.get('/orders/last', (c) => c.text('last'))
    })

    const texts = [await ask('/orders/new'), await ask('/orders/1'), await ask('/orders/last')]
    go.resolve()

    expect(texts).toEqual(['new', 'Gateway Timeout', 'Gateway Timeout'])
    await expect.poll(() => seen).toEqual(['ann', 'ann'])
  })

  it.each<[name: string, register: (app: Hono<Env>, onError: ErrorHandler) => void]>([
    [
      'a handler throws',
      (app, onError) => {
        app.use(logicalContext(), setAnn).onError(onError)
        app.get('/', () => Promise.reject(new Error('no')))
      },
    ],
    [
      'a handler of an app that is mounted throws',
      (app, onError) => {
        const child = new Hono<Env>().onError(onError)
        child.get('/', () => {
          throw new Error('no')
        })
        app.use(logicalContext(), setAnn).route('/', child)
      },
    ],
    [
      'no handler returns a response',
      (app, onError) => {
        app.use(logicalContext(), setAnn).onError(onError)
        app.get('/', (() => {}) as never)
      },
    ],
    [
      'notFound throws, without other middlewares',
      (app, onError) => {
        app.use(logicalContext()).onError(onError)
        app.notFound(() => {
          user.set('ann')
          throw new Error('no')
        })
      },
    ],
  ])('keeps the values for onError after a disconnect, where %s', async (_name, register) => {
    const seen: unknown[] = []
    const go = Promise.withResolvers<void>()
    const entered = Promise.withResolvers<RequestScope>()
    const app = new Hono<Env>()
    register(app, async (_error, c) => {
      entered.resolve(c.get('requestScope'))
      await go.promise
      seen.push(user.get())
      return c.text('failed', 500)
    })
    const server = await listen(serverOf(app))
    onTestFinished(() => closeOf(server))
    const hangUp = new AbortController()

    const reply = fetch(urlOf(server), { signal: hangUp.signal }).catch(() => 'gone')
    const { signal } = await entered.promise
    hangUp.abort()
    await expect.poll(() => signal.aborted).toBe(true)
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
    go.resolve()

    expect(await reply).toBe('gone')
    await expect.poll(() => seen).toEqual(['ann'])
  })

  it('keeps the values for onError of a handler that hono/timeout does not wait for', async () => {
    const go = Promise.withResolvers<void>()
    const seen: unknown[] = []
    const ask = await serve((app) => {
      app.use(logicalContext(), timeout(1), setAnn)
      app.get('/', async () => {
        await go.promise
        throw new Error('late')
      })
      app.onError(async (error, c) => {
        for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
        seen.push(`${error.message} ${user.get()}`)
        return c.text('failed', 500)
      })
    })

    await ask()
    go.resolve()

    await expect.poll(() => seen.at(-1)).toBe('late ann')
  })

  it('fails a request without a response in the unit of app.request(), too', async () => {
    const app = new Hono<Env>()
    app.use(logicalContext(), setAnn)
    app.get('/', (() => {}) as never)
    app.onError((error, c) => c.text(`${error.message} ${user.get()}`))

    const reply = await app.request('/')

    expect(await reply.text()).toMatch(/^Context is not finalized.* ann$/)
  })

  it("makes the library's id that of Hono's own middleware", async () => {
    const ask = await serve((app) => {
      app.use(logicalContext(), honoRequestId({ headerName: '', generator: () => requestId.get() ?? '' }))
      app.get('/', (c) => c.text(`${String(c.get('requestId' as never))} ${requestId.get()}`))
    })

    expect(await ask('/', { headers: { 'x-request-id': 'r-1' } })).toBe('r-1 r-1')
  })

  it('has the values in the events of upgradeWebSocket, with the middleware for WebSockets', async () => {
    const seen: string[] = []
    const look = (place: string) => void seen.push(`${place} ${user.get()}`)
    let scope: RequestScope | undefined
    const app = new Hono<Env>()
    app.use(logicalContext(), setAnn)
    app.get(
      '/',
      upgradeWebSocket((c) => {
        scope = c.get('requestScope')
        return {
          onOpen: () => look('open'),
          async onMessage({ data }, socket) {
            await new Promise((resolve) => setImmediate(resolve))
            look(`message ${String(data)}`)
            socket.close()
          },
          onClose: () => look('close'),
        }
      }),
    )
    const sockets = new WebSocketServer({ noServer: true })
    // Hono does not wait for `onMessage`.
    webSocketContext(sockets, { messagePolicy: 'share' })
    const server = await listen(createAdaptorServer({ fetch: app.fetch, websocket: { server: sockets } }) as Server)
    onTestFinished(() => closeOf(server))
    const client = new WebSocket(urlOf(server).replace('http', 'ws'))

    await once(client, 'open')
    client.send('hi')
    await once(client, 'close')

    await expect.poll(() => scope?.sealed).toBe(true)
    expect(seen).toEqual(['open ann', 'message hi ann', 'close ann'])
  })

  it('ends the unit of an upgrade that a middleware refuses', async () => {
    let scope: RequestScope | undefined
    const app = new Hono<Env>()
    app.use(logicalContext())
    app.get('/', (c) => {
      scope = c.get('requestScope' as never) as RequestScope
      return c.text('no', 401)
    })
    const sockets = new WebSocketServer({ noServer: true })
    const server = await listen(createAdaptorServer({ fetch: app.fetch, websocket: { server: sockets } }) as Server)
    onTestFinished(() => closeOf(server))

    await once(new WebSocket(urlOf(server).replace('http', 'ws')), 'error')

    await expect.poll(() => scope?.sealed).toBe(true)
  })

  it('opens a unit for `app.request()`, which ends with the handler', async () => {
    const app = new Hono<Env>()
    let scope: RequestScope | undefined
    app.use(logicalContext({ onRefusal() {} }))
    app.get('/', async (c) => {
      scope = c.get('requestScope' as never) as RequestScope
      user.set('ann')
      await Promise.resolve()
      return c.text(`${user.get()} ${requestId.get()}`)
    })

    const reply = await app.request('/', { headers: { 'x-request-id': 'r-1' } })

    // Without a server, the peer is unknown.
    expect(await reply.text()).toMatch(/^ann [\da-f-]{36}$/)
    expect(scope?.sealed).toBe(true)
  })

  it('serves HTTP/2', async () => {
    const app = new Hono<Env>()
    app.use(logicalContext(), setAnn)
    app.get('/', answerUser)
    const server = await listen(createAdaptorServer({ fetch: app.fetch, createServer: createHttp2Server }) as Server)
    const session = connect(urlOf(server))
    const reply = session.request({}).setEncoding('utf8')

    expect(await once(reply, 'data')).toEqual(['ann'])
    await Promise.all([closeOf(server), once(session, 'close')])
  })
})
