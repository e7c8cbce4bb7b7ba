import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import express5, { type NextFunction, type Request, type Response } from 'express'
import { ContextVar, type RequestScope, spawn } from 'logical-context'
import { describeMiddleware } from 'logical-context/testing'
import defaultExport, { logicalContext } from 'logical-context/middleware/express'
import type { NodeServerOptions } from 'logical-context/middleware/node-http'
import { requestId } from 'logical-context/variables'
import { pinoHttp } from 'pino-http'
import { describe, expect, it, onTestFinished } from 'vitest'

import { closeOf, describeNodeServer, type Handler, listen, scopeOf, silent, urlOf } from '../contracts/node-server.ts'

// It has no types: those of Express 5 are used. A literal would be looked up.
const express4Name: string = 'express4'
const { default: express4 } = (await import(express4Name)) as { default: typeof express5 }
const user = new ContextVar<string>('user')

function send(response: Response, body: unknown): void {
  if (body instanceof Readable) body.pipe(response)
  else if (body !== undefined) response.send(body)
}

type Express = ReturnType<typeof express5>
type Register = (app: Express, express: typeof express5) => void

describe.each([
  ['Express 5', express5],
  ['Express 4', express4],
])('%s', (name, express) => {
  const quiet = (app: Express) => app.set('env', 'test')
  const appFor = (handler: Handler, options?: NodeServerOptions) => {
    const app = quiet(express())
    app.use(logicalContext(options))
    app.use((request, response, next) => {
      const body = handler({ request, response, scope: scopeOf(request) })
      if (!(body instanceof Promise)) return send(response, body)
      return void body.then((sent) => send(response, sent)).catch(next)
    })
    return app
  }

  describeMiddleware({ describe, it, expect }, `the middleware for ${name}`, async (handler) => {
    const app = quiet(express())
    app.use(logicalContext({ logger: silent }))
    app.get(name === 'Express 5' ? '/{*path}' : '*', async (request, response) => {
      response.json(await handler(request.url, scopeOf(request)))
    })
    const server = await listen(createServer(app))
    return { url: urlOf(server), close: () => closeOf(server) }
  })
  describeNodeServer(`the middleware for ${name}`, async (handler, options) =>
    listen(createServer(appFor(handler, options))),
  )

  /** Serves an app; the text of the reply to `/`, or to another path. */
  async function serve(register: Register): Promise<(path?: string, init?: RequestInit) => Promise<string>> {
    const app = quiet(express())
    register(app, express)
    const server = await listen(createServer(app))
    onTestFinished(() => closeOf(server))
    return async (path = '/', init = {}) => (await fetch(`${urlOf(server)}${path}`, init)).text()
  }

  /** A request that stays open until the end of the test, and calls functions in its context. */
  function otherRequest(app: Express): (fn: () => void) => void {
    let resource: AsyncResource | undefined
    app.get('/other', (_request, response) => {
      user.set('bob')
      resource = new AsyncResource('other')
      response.end()
    })
    return (fn) => setImmediate(() => (resource ?? new AsyncResource('none')).runInAsyncScope(fn))
  }

  const setAnn = ({ url }: Request, _response: Response, next: NextFunction) => {
    if (url !== '/other') user.set('ann')
    next()
  }
  const answerUser = (_request: Request, response: Response) => void response.send(String(user.get()))

  describe(`logicalContext of middleware/express in ${name}`, () => {
    it('is the default export too, and has the name of its factory', () => {
      expect(defaultExport).toBe(logicalContext)
      expect(logicalContext().name).toBe('logicalContext')
    })

    it('has the values in every stage', async () => {
      const seen: string[] = []
      const look = (stage: string) => seen.push(`${stage} ${user.get()}`)
      const ask = await serve((app) => {
        app.use(logicalContext(), setAnn, express.json())
        app.use((_request, _response, next) => {
          look('middleware')
          next()
        })
        const router = express.Router()
        router.use(async (_request, _response, next) => {
          await Promise.resolve()
          look('async middleware')
          next()
        })
        router.param('id', (_request, _response, next, id) => {
          look(`param ${id}`)
          next()
        })
        router.post('/:id', (request, _response, next) => {
          look(`handler ${JSON.stringify(request.body)}`)
          next(new Error('no'))
        })
        router.use((error: Error, _request: Request, _response: Response, next: NextFunction) => {
          look('error handler of the router')
          next(error)
        })
        app.use('/orders', router)
        app.use((error: Error, _request: Request, response: Response, _next: NextFunction) => {
          look('error handler')
          response.on('finish', () => look('finish'))
          response.send(error.message)
        })
      })

      await ask('/orders/1', { method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' } })

      expect(seen).toEqual([
        'middleware ann',
        'async middleware ann',
        'param 1 ann',
        'handler {"a":1} ann',
        'error handler of the router ann',
        'error handler ann',
        'finish ann',
      ])
    })

    it('can be registered after the body parser', async () => {
      const ask = await serve((app) => {
        app.use(express.text(), logicalContext(), setAnn)
        app.post('/', (request, response) => void response.send(`${request.body} ${user.get()}`))
      })

      expect(await ask('/', { method: 'POST', body: 'text' })).toBe('text ann')
    })

    it('is in the unit where the response is lost: in the default handlers of errors and unknown paths', async () => {
      const seen: unknown[] = []
      const ask = await serve((app) => {
        app.use(logicalContext(), setAnn)
        app.use((_request, response, next) => {
          response.on('finish', () => seen.push(response.statusCode, user.get()))
          next()
        })
        app.get('/fails', () => {
          throw new Error('no')
        })
      })

      await ask('/nowhere')
      await ask('/fails')

      await expect.poll(() => seen).toEqual([404, 'ann', 500, 'ann'])
    })

    it.each<[name: string, register: (app: Express, callIn: (fn: () => void) => void) => void, path?: string]>([
      [
        'a middleware',
        (app, callIn) => {
          app.use((_request, _response, next) => callIn(next))
          app.get('/', answerUser)
        },
      ],
      [
        'a middleware of a router',
        (app, callIn) => {
          const router = express.Router()
          router.use((_request, _response, next) => callIn(next))
          app.use(router)
          app.get('/', answerUser)
        },
      ],
      [
        'a handler of the route',
        (app, callIn) => app.get('/', (_request, _response, next) => callIn(next), answerUser),
      ],
      [
        'an app that is mounted',
        (app, callIn) => {
          const child = express()
          child.use((_request, _response, next) => callIn(next))
          app.use(child)
          app.get('/', answerUser)
        },
      ],
      [
        'a callback of a parameter',
        (app, callIn) => {
          app.param('first', (_request, _response, next) => callIn(next))
          app.param('second', (_request, response) => void response.send(String(user.get())))
          app.get('/:first/:second', answerUser)
        },
        '/1/2',
      ],
      [
        'a callback of a parameter of a router',
        (app, callIn) => {
          const router = express.Router()
          router.param('first', (_request, _response, next) => callIn(next))
          router.param('first', (_request, response) => void response.send(String(user.get())))
          router.get('/:first', answerUser)
          app.use(router)
        },
        '/1',
      ],
      [
        'a failing middleware',
        (app, callIn) => {
          app.use((_request, _response, next) => callIn(() => next(new Error('no'))))
          app.use((_error: Error, request: Request, response: Response, _next: NextFunction) =>
            answerUser(request, response),
          )
        },
      ],
      [
        'an error handler',
        (app, callIn) => {
          app.use((_request, _response, next) => next(new Error('no')))
          app.use((error: Error, _request: Request, _response: Response, next: NextFunction) =>
            callIn(() => next(error)),
          )
          app.use((_error: Error, request: Request, response: Response, _next: NextFunction) =>
            answerUser(request, response),
          )
        },
      ],
    ])('stays in its unit where %s calls `next` in another request', async (_name, register, path) => {
      const ask = await serve((app) => {
        app.use(logicalContext(), setAnn)
        register(app, otherRequest(app))
      })
      await ask('/other')

      expect(await ask(path)).toBe('ann')
    })

    it('keeps the contexts of other libraries after a `next` from elsewhere', async () => {
      const storage = new AsyncLocalStorage<string>()
      const ask = await serve((app) => {
        app.use(logicalContext(), setAnn)
        app.use((_request, _response, next) => storage.run('kept', next))
        const callIn = otherRequest(app)
        app.use((_request, _response, next) => callIn(next))
        app.get('/', (_request, response) => void response.send(`${user.get()} ${storage.getStore()}`))
      })
      await ask('/other')

      expect(await ask()).toBe('ann kept')
    })

    it('calls the callbacks of a response in its own unit, also if another request calls its methods', async () => {
      const seen: unknown[] = []
      const ask = await serve((app) => {
        app.use(logicalContext({ logger: silent }))
        const elsewhere = otherRequest(app)
        app.use((_request, _response, next) => {
          user.set('ann')
          next()
        })
        app.get('/file', (_request, response) =>
          elsewhere(() => response.sendFile(import.meta.filename, () => seen.push(`sendFile ${user.get()}`))),
        )
        app.get('/download', (_request, response) =>
          elsewhere(() => response.download(import.meta.filename, () => seen.push(`download ${user.get()}`))),
        )
        app.set('view', function view() {
          return {
            path: 'page',
            render(_options: object, done: (error: null, text: string) => void) {
              seen.push(`view ${user.get()}`)
              done(null, 'rendered')
            },
          }
        })
        app.get('/render', (_request, response) => elsewhere(() => response.render('page')))
      })

      await ask('/other')
      for (const path of ['/file', '/download', '/render']) await ask(path)

      await expect.poll(() => seen).toEqual(['sendFile ann', 'download ann', 'view ann'])
    })

    it('passes a rejection of an async layer to the error handlers', async () => {
      const ask = await serve((app) => {
        app.use(logicalContext(), setAnn)
        app.get('/', async () => Promise.reject(new Error('no')))
        app.use((error: Error, _request: Request, response: Response, _next: NextFunction) => {
          response.send(`${error.message} ${user.get()}`)
        })
      })

      expect(await ask()).toBe('no ann')
    })

    it('keeps the values for an async handler that continues after a disconnect', async () => {
      const [entered, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      let scope: RequestScope | undefined
      let seen: unknown
      const hangUp = new AbortController()
      const ask = await serve((app) => {
        app.use(logicalContext(), setAnn)
        app.get('/', async (request) => {
          scope = scopeOf(request)
          entered.resolve()
          await go.promise
          seen = user.get()
        })
      })
      const answer = ask('/', { signal: hangUp.signal }).catch(() => 'gone')
      await entered.promise

      hangUp.abort()
      await answer
      await expect.poll(() => scope?.signal.aborted).toBe(true)
      go.resolve()

      await expect.poll(() => scope?.sealed).toBe(true)
      expect(seen).toBe('ann')
    })

    it('names the unit after the pattern of its route', async () => {
      const ask = await serve((app) => {
        app.use(logicalContext())
        const router = express.Router()
        router.get('/:id', (request, response) => void response.send(scopeOf(request).name))
        app.use('/orders', router)
        app.use((request, response) => void response.send(scopeOf(request).name))
      })

      expect([await ask('/orders/1?a=b'), await ask('/secret')]).toEqual(['GET /orders/:id', 'GET'])
    })

    it.each([
      ['one parameter', ['/shops/:shop'], '/shops/7/tea', '/shops/:shop/:item'],
      ['two in one segment', ['/from-:a-to-:b'], '/from-x-to-y/tea', '/from-:a-to-:b/:item'],
      ['a router in a router', ['/:shop', '/floors/:floor'], '/7/floors/2/tea', '/:shop/floors/:floor/:item'],
      ['a router without one in a router with one', ['/:shop', '/shelf'], '/7/shelf/tea', '/:shop/shelf/:item'],
      ['two of the same value', ['/:shop', '/floors/:floor'], '/7/floors/7/tea', '/:shop/floors/:floor/:item'],
      ['a value that is escaped', ['/shops/:shop'], '/shops/a%2Fb%20c/tea', '/shops/:shop/:item'],
    ])('names the unit after the patterns of the routers around its route: %s', async (name, paths, path, route) => {
      const mergeParams = name.startsWith('two')
      const ask = await serve((app) => {
        app.use(logicalContext())
        const inner = express.Router()
        inner.get('/:item', (request, response) => void response.send(scopeOf(request).name))
        const last = paths.reduceRight((router, mount) => express.Router({ mergeParams }).use(mount, router), inner)
        app.use('/left/:id', (_request, _response, next) => next())
        app.use(last)
      })

      expect(await ask(path)).toBe(`GET ${route}`)
    })

    it('has a policy for each router, which ends where the request leaves it', async () => {
      const seenByTask = async (_request: Request, response: Response) => {
        response.send(await spawn(() => user.get() ?? 'nothing').result())
      }
      const ask = await serve((app) => {
        app.use(logicalContext(), setAnn)
        const router = express.Router()
        router.use(logicalContext({ policy: 'isolate' }))
        router.get('/inside', seenByTask)
        app.use(router)
        app.get('/outside', seenByTask)
      })

      expect([await ask('/inside'), await ask('/outside')]).toEqual(['nothing', 'ann'])
    })

    it('is the middleware of a router or a mounted app alone', async () => {
      const ask = await serve((app) => {
        const child = express()
        child.use(logicalContext({ policy: 'isolate' }), setAnn)
        child.get('/', async (_request, response) => {
          response.send(`${user.get()} ${await spawn(() => user.get() ?? 'nothing').result()}`)
        })
        app.use('/child', child)
        app.get('/', answerUser)
      })

      expect([await ask('/child'), await ask('/')]).toEqual(['ann nothing', 'undefined'])
    })

    it('fails a request that a second registration receives, with an error that has the reason', async () => {
      const ask = await serve((app) => {
        app.use(logicalContext())
        app.use(logicalContext({ drainTimeoutMs: 1 }))
        app.use((error: Error, _request: Request, response: Response, _next: NextFunction) => {
          response.send(`${error.name}: ${error.message}`)
        })
      })

      expect(await ask()).toBe(
        'TypeError: logicalContext: this request has a unit already, of an earlier registration. ' +
          'Register it once for each app. In a router it takes the option policy only.',
      )
    })

    it('continues in the unit of a request that is routed again', async () => {
      const ask = await serve((app) => {
        app.use(logicalContext())
        app.get('/here', (request, response) => {
          user.set('ann')
          request.url = '/there'
          ;(app as unknown as (request: IncomingMessage, response: ServerResponse) => void)(request, response)
        })
        app.get('/there', answerUser)
      })

      expect(await ask('/here')).toBe('ann')
    })

    it('refuses wrong options', () => {
      expect(() => logicalContext({ polcy: 'isolate' } as object)).toThrow(/logicalContext: unknown option 'polcy'/)
      expect(() => logicalContext({ settleTimeoutMs: 'x' as never })).toThrow(TypeError)
    })

    it('is in the unit on the first and the last line of pino-http, which takes the request id', async () => {
      const lines: unknown[] = []
      const write = (line: string) => void lines.push([JSON.parse(line).msg, JSON.parse(line).req.id, user.get()])
      const ask = await serve((app) => {
        app.use(logicalContext(), setAnn)
        app.use(pinoHttp({ genReqId: () => requestId.get() ?? '' }, { write }))
        app.get('/', (request, response) => {
          request.log.info('handled')
          response.end()
        })
      })

      await ask('/', { headers: { 'x-request-id': 'r-1' } })

      await expect
        .poll(() => lines)
        .toEqual([
          ['handled', 'r-1', 'ann'],
          ['request completed', 'r-1', 'ann'],
        ])
    })

    it('leaves the layers as they are', async () => {
      const handler = (_request: Request, response: Response) => void response.end()
      const router = express.Router()
      router.use(handler)
      const ask = await serve((app) => void app.use(logicalContext(), router))

      await ask()

      expect(router.stack.map(({ handle }) => handle)).toEqual([handler])
    })
  })
})

describe('logicalContext of middleware/express', () => {
  it('drains at the close of the server that `listen` returned', async () => {
    const done: string[] = []
    const app = express5()
    app.use(logicalContext())
    app.get('/', (_request, response) => {
      spawn(async () => {
        await new Promise((resolve) => setTimeout(resolve, 20))
        done.push('task')
      })
      response.end()
    })
    const server: Server = app.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    await fetch(urlOf(server))

    await closeOf(server)

    expect(done).toEqual(['task'])
  })
})
