import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { Server } from 'node:http'
import { Readable } from 'node:stream'
import Router from '@koa/router'
import Koa, { type Context } from 'koa'
import { ContextVar, spawn } from 'logical-context'
import defaultExport, { logicalContext } from 'logical-context/middleware/koa'
import type { NodeServerOptions } from 'logical-context/middleware/node-http'
import { describeMiddleware } from 'logical-context/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { closeOf, describeNodeServer, type Handler, listen, scopeOf, urlOf } from '../contracts/node-server.ts'
import { createServer } from 'node:http'

const user = new ContextVar<string>('user')

/** An app that prints no errors. */
function silentApp(): Koa {
  const app = new Koa()
  app.silent = true
  return app
}

function serverOf(app: Koa): Server {
  const handle = app.callback()
  return createServer((request, response) => void handle(request, response))
}

describeMiddleware({ describe, it, expect }, 'the middleware for Koa', async (handler) => {
  const app = silentApp()
  app.use(logicalContext())
  app.use(async (ctx) => {
    ctx.body = await handler(ctx.url, scopeOf(ctx.req))
  })
  const server = await listen(serverOf(app))
  return { url: urlOf(server), close: () => closeOf(server) }
})
describeNodeServer('the middleware for Koa', async (handler: Handler, options: NodeServerOptions) => {
  const app = silentApp()
  app.use(logicalContext(options))
  app.use(async (ctx) => {
    ctx.status = 200
    const { req: request, res: response } = ctx
    const body = await handler({ request, response, scope: scopeOf(request) })
    if (response.headersSent) ctx.respond = false
    else ctx.body = body
  })
  return listen(serverOf(app))
})

/** Serves an app; the text of the reply. */
async function serve(register: (app: Koa) => void): Promise<(path?: string, init?: RequestInit) => Promise<string>> {
  const app = silentApp()
  register(app)
  const server = await listen(serverOf(app))
  onTestFinished(() => closeOf(server))
  return async (path = '/', init = {}) => (await fetch(`${urlOf(server)}${path}`, init)).text()
}

const setAnn = async (_ctx: Context, next: () => Promise<unknown>) => {
  user.set('ann')
  await next()
}
const answerUser = (ctx: Context) => {
  ctx.body = String(user.get())
}

/** A middleware that calls `next` in the context of another request, as the callback of a shared client does. */
function callsNextElsewhere() {
  const elsewhere = new AsyncResource('other')
  return (_ctx: Context, next: () => Promise<unknown>) =>
    new Promise<unknown>((resolve, reject) =>
      setImmediate(() => elsewhere.runInAsyncScope(() => void next().then(resolve, reject))),
    )
}

describe('logicalContext of middleware/koa', () => {
  it('is the default export too, and has the name of its factory', () => {
    expect(defaultExport).toBe(logicalContext)
    expect(logicalContext().name).toBe('logicalContext')
  })

  it('has the values in every stage, up to the serializer of the body', async () => {
    const seen: string[] = []
    const look = (stage: string) => seen.push(`${stage} ${user.get()}`)
    const ask = await serve((app) => {
      app.use(logicalContext())
      app.use(setAnn)
      app.use(async (ctx, next) => {
        look('before')
        await next()
        look('after')
        ctx.res.on('finish', () => look('finish'))
      })
      const router = new Router({ prefix: '/orders' })
      router.param('id', (id, _ctx, next) => {
        look(`param ${id}`)
        return next()
      })
      router.get('/:id', (ctx) => {
        look('handler')
        ctx.body = { toJSON: () => user.get() }
      })
      app.use(router.routes()).use(router.allowedMethods())
    })

    expect(await ask('/orders/1')).toBe('"ann"')
    await expect.poll(() => seen).toEqual(['before ann', 'param 1 ann', 'handler ann', 'after ann', 'finish ann'])
  })

  it('has the values in the listeners of errors, and where unknown paths are answered', async () => {
    const seen: unknown[] = []
    const ask = await serve((app) => {
      app.on('error', (error: Error, ctx: Context) => seen.push(error.message, ctx.status, user.get()))
      app.use(logicalContext())
      app.use(setAnn)
      app.use(async (ctx, next) => {
        ctx.res.on('finish', () => seen.push(ctx.status, user.get()))
        if (ctx.path === '/fails') throw new Error('no')
        await next()
      })
    })

    await ask('/fails')
    await ask('/nowhere')

    await expect.poll(() => seen).toEqual(['no', 404, 'ann', 500, 'ann', 404, 'ann'])
  })

  it.each<[name: string, register: (app: Koa) => void]>([
    ['a middleware', (app) => void app.use(callsNextElsewhere()).use(answerUser)],
    [
      'a middleware of a router',
      (app) => {
        const router = new Router()
        router.use(callsNextElsewhere())
        router.get('/', answerUser)
        app.use(router.routes())
      },
    ],
    [
      'a handler of a route',
      (app) => {
        const router = new Router()
        router.get('/', callsNextElsewhere(), answerUser)
        app.use(router.routes())
      },
    ],
    [
      'a middleware of a router inside a router',
      (app) => {
        const [outer, inner] = [new Router(), new Router()]
        inner.get('/', callsNextElsewhere(), answerUser)
        outer.use(inner.routes())
        app.use(outer.routes())
      },
    ],
  ])('stays in its unit where %s calls `next` elsewhere', async (_name, register) => {
    const ask = await serve((app) => {
      app.use(logicalContext())
      app.use(setAnn)
      register(app)
    })

    expect(await ask()).toBe('ann')
  })

  it('keeps the contexts of other libraries after a `next` from elsewhere', async () => {
    const storage = new AsyncLocalStorage<string>()
    const ask = await serve((app) => {
      app.use(logicalContext())
      app.use(setAnn)
      app.use((_ctx, next) => storage.run('kept', next))
      app.use(callsNextElsewhere())
      app.use((ctx) => void (ctx.body = `${user.get()} ${storage.getStore()}`))
    })

    expect(await ask()).toBe('ann kept')
  })

  it('keeps the order of the middlewares, and refuses a second `next` as Koa does', async () => {
    const ask = await serve((app) => {
      app.use(async (ctx, next) => {
        await next()
        ctx.body = `<${String(ctx.body)}>`
      })
      app.use(logicalContext())
      app.use(async (ctx, next) => {
        await next()
        await next().catch((error: Error) => (ctx.body = `${String(ctx.body)} ${error.message}`))
      })
      app.use((ctx) => void (ctx.body = 'body'))
    })

    expect(await ask()).toBe('<body next() called multiple times>')
  })

  it('works in an app that is composed by a function of its own', async () => {
    const ask = await serve((app) => {
      const { compose } = app as unknown as { compose: (list: unknown[]) => unknown }
      Object.assign(app, { compose: (list: unknown[]) => compose([logicalContext(), setAnn, ...list]) })
      app.use(answerUser)
    })

    expect(await ask()).toBe('ann')
  })

  it('names the unit after the pattern of its route', async () => {
    const names: string[] = []
    const ask = await serve((app) => {
      app.use(logicalContext())
      const router = new Router({ prefix: '/orders' })
      router.get('/:id', (ctx) => {
        names.push(scopeOf(ctx.req).name)
        ctx.body = ''
      })
      app.use(router.routes())
      app.use((ctx) => void names.push(scopeOf(ctx.req).name))
    })

    await ask('/orders/1?a=b')
    await ask('/secret')

    expect(names).toEqual(['GET /orders/:id', 'GET'])
  })

  it('has a policy for each router, which ends where the request leaves it', async () => {
    const seenByTask = async (ctx: Context) => {
      ctx.body = await spawn(() => user.get() ?? 'nothing').result()
    }
    const ask = await serve((app) => {
      app.use(logicalContext())
      app.use(setAnn)
      const router = new Router()
      router.use(logicalContext({ policy: 'isolate' }))
      router.get('/inside', seenByTask)
      router.get('/passes', (_ctx, next) => next())
      app.use(router.routes())
      app.use(seenByTask)
    })

    expect([await ask('/inside'), await ask('/passes'), await ask('/outside')]).toEqual(['nothing', 'ann', 'ann'])
  })

  it('has the policy of the app again in the middlewares around a router, after it', async () => {
    const policies: unknown[] = []
    const ask = await serve((app) => {
      app.use(logicalContext())
      app.use(async (_ctx, next) => {
        await next()
        policies.push(spawn(() => {}).policy)
      })
      const router = new Router()
      router.use(logicalContext({ policy: 'isolate' }))
      router.get('/', (ctx) => {
        policies.push(spawn(() => {}).policy)
        ctx.body = ''
      })
      app.use(router.routes())
    })

    await ask()

    expect(policies).toEqual(['isolate', 'inherit'])
  })

  it('fails a request that a second registration receives, with an error that has the reason', async () => {
    const errors: Error[] = []
    const ask = await serve((app) => {
      app.on('error', (error: Error) => errors.push(error))
      app.use(logicalContext())
      app.use(logicalContext({ drainTimeoutMs: 1 }))
    })

    expect(await ask()).toBe('Internal Server Error')
    expect(errors).toMatchObject([
      { name: 'TypeError', message: expect.stringMatching(/has a unit already, of an earlier registration/) },
    ])
  })

  it('refuses wrong options', () => {
    expect(() => logicalContext({ polcy: 'isolate' } as object)).toThrow(/logicalContext: unknown option 'polcy'/)
  })

  it.each<[name: string, add: (app: Koa, ...chain: Koa.Middleware[]) => unknown]>([
    ['a middleware', (app, ...chain) => chain.map((middleware) => app.use(middleware))],
    ['a handler of a router', (app, ...chain) => app.use(new Router().get('/', ...(chain as never[])).routes())],
  ])('keeps the values for %s whose caller does not wait for it', async (_name, add) => {
    const go = Promise.withResolvers<void>()
    const seen: unknown[] = []
    const passOn: Koa.Middleware = (ctx, next) => {
      void next()
      ctx.body = 'in time'
    }
    const ask = await serve((app) => {
      app.use(logicalContext())
      add(app, passOn, setAnn, async () => {
        await go.promise
        seen.push(user.get())
      })
    })

    expect(await ask()).toBe('in time')
    go.resolve()

    await expect.poll(() => seen).toEqual(['ann'])
  })

  it('has the values where the stream of a reply to HEAD closes', async () => {
    const seen: unknown[] = []
    const ask = await serve((app) => {
      app.use(logicalContext())
      app.use(setAnn)
      app.use((ctx) => {
        ctx.body = Readable.from(['no']).on('close', () => seen.push(user.get()))
      })
    })

    await ask('/', { method: 'HEAD' })

    await expect.poll(() => seen).toEqual(['ann'])
  })
})
