import 'reflect-metadata'
import { AsyncResource } from 'node:async_hooks'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import {
  All,
  type CanActivate,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Get,
  type INestApplication,
  Injectable,
  Module,
  type ModuleMetadata,
  type NestInterceptor,
  Param,
  type PipeTransform,
  Req,
  Res,
  Sse,
  SseSignal,
  type Type,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import type { FastifyInstance } from 'fastify'
import { ContextVar, currentSignal, type RequestScope, runInScope, spawn } from 'logical-context'
import {
  ContextConsoleLogger,
  type ContextConsoleLoggerOptions,
  ContextValue,
  InContext,
  LogicalContextModule,
} from 'logical-context/middleware/nestjs'
import type { NodeServerOptions } from 'logical-context/middleware/node-http'
import { describeMiddleware } from 'logical-context/testing'
import { newIdentity, requestId } from 'logical-context/variables'
import { catchError, defer, finalize, map, Observable, of, Subject, take, tap } from 'rxjs'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { describeNodeServer, type Handler, type ServeNode, silent } from './node-server.ts'

const user = new ContextVar<string>('user', { default: 'nothing' })
const platforms = [
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
] as const

/** Applies the decorators of a method and its parameters, as a compiler does. */
export function decorate(
  target: Type,
  name: string,
  decorators: MethodDecorator[],
  params: ParameterDecorator[] = [],
): void {
  for (const [index, param] of params.entries()) param(target.prototype as object, name, index)
  const descriptor = Object.getOwnPropertyDescriptor(target.prototype, name) as PropertyDescriptor
  for (const decorator of decorators.toReversed()) decorator(target.prototype as object, name, descriptor)
  Object.defineProperty(target.prototype, name, descriptor)
}

function rootOf(metadata: ModuleMetadata): Type {
  class Root {
    readonly metadata = metadata
  }
  Module(metadata)(Root)
  return Root
}

async function appOf(
  adapter: () => object,
  controllers: Type[],
  options: NodeServerOptions = {},
  logger: false | ContextConsoleLogger = false,
): Promise<INestApplication> {
  const root = rootOf({ imports: [LogicalContextModule.forRoot(options)], controllers })
  return NestFactory.create(root, adapter() as never, { logger, bodyParser: false })
}

async function listen(app: INestApplication): Promise<string> {
  await app.listen(0, '127.0.0.1')
  return app.getUrl()
}

/** What both platforms pass to a handler: on Fastify it has the messages of Node under `raw`. */
type Raw<Message> = Message & { raw?: Message }

const apps = new WeakMap<Server, INestApplication>()

function serveOn(adapter: () => object): ServeNode {
  return async (handler: Handler, options: NodeServerOptions): Promise<Server> => {
    class Everything {
      async answer(request: Raw<IncomingMessage>, reply: Raw<ServerResponse> & { hijack?(): void }): Promise<void> {
        reply.hijack?.()
        const response = reply.raw ?? reply
        const body = await handler({ request: request.raw ?? request, response, scope: request.requestScope as never })
        if (body instanceof Readable) pipeline(body, response, () => {})
        else if (body !== undefined) response.end(body)
      }
    }
    Controller()(Everything)
    decorate(Everything, 'answer', [All(['', ':path'])], [Req(), Res()])
    const app = await appOf(adapter, [Everything], options)
    // The handlers read the bodies.
    const fastify = app.getHttpAdapter().getInstance() as Partial<FastifyInstance>
    fastify.removeAllContentTypeParsers?.()
    fastify.addContentTypeParser?.('*', (_request, _body, done) => done(null))
    await listen(app)
    const server = app.getHttpServer() as Server
    apps.set(server, app)
    return server
  }
}

/** What the module promises, on each version of Nest: these packages are those of the test file's mocks. */
export function describeNestjs(version: string): void {
  describe.each(platforms)(`LogicalContextModule of Nest ${version} on %s`, (platform, adapter) => {
    describeMiddleware({ describe, it, expect }, `the module for Nest ${version} on ${platform}`, async (handler) => {
      class Everything {
        answer(request: { url: string; requestScope: never }): unknown {
          return handler(request.url, (request as { requestScope: never }).requestScope)
        }
      }
      Controller()(Everything)
      decorate(Everything, 'answer', [Get(['', ':path'])], [Req()])
      const app = await appOf(adapter, [Everything], { logger: { info() {}, warn() {}, error() {} } })
      return { url: await listen(app), close: () => app.close() }
    })

    describeNodeServer(`the module for Nest ${version} on ${platform}`, serveOn(adapter), {
      close: async (server) => apps.get(server)?.close(),
      restarts: false,
    })

    it('has the values in middlewares, guards, interceptors, pipes, handlers and filters', async () => {
      const seen: string[] = []
      const look = (stage: string) => seen.push(`${stage} ${user.get()}`)
      class Guard implements CanActivate {
        async canActivate(_context: ExecutionContext) {
          await Promise.resolve()
          look('guard')
          return true
        }
      }
      const interceptor: NestInterceptor = {
        intercept(_context, next) {
          look('interceptor')
          return next.handle().pipe(tap({ error: () => look('after') }))
        },
      }
      const pipe: PipeTransform = {
        transform: (value: string) => {
          look(`pipe ${value}`)
          return value
        },
      }
      const filter: ExceptionFilter = {
        catch(_error, host) {
          look('filter')
          const reply = host.switchToHttp().getResponse<{ status(code: number): { send(body: string): void } }>()
          reply.status(500).send('failed')
        },
      }
      class Orders {
        one(id: string, named: string): never {
          look(`handler ${id} ${named}`)
          throw new Error('no')
        }
      }
      Controller('orders')(Orders)
      decorate(
        Orders,
        'one',
        [Get(':id'), UseGuards(Guard), UseInterceptors(interceptor), UseFilters(filter)],
        [Param('id', pipe), ContextValue(user)],
      )
      const app = await appOf(adapter, [Orders])
      onTestFinished(() => app.close())
      const elsewhere = new AsyncResource('other')
      let scope: RequestScope | undefined
      app.use((request: IncomingMessage, _response: unknown, next: () => void) => {
        scope = request.requestScope
        user.set('ann')
        look('middleware')
        // As the callback of a shared client does.
        setImmediate(() => elsewhere.runInAsyncScope(next))
      })

      const reply = await fetch(`${await listen(app)}/orders/1`)

      expect(await reply.text()).toBe('failed')
      expect(scope).toMatchObject({ name: expect.stringMatching(/^GET/) })
      expect(seen).toEqual([
        'middleware ann',
        'guard ann',
        'interceptor ann',
        'pipe 1 ann',
        'handler 1 ann ann',
        'after ann',
        'filter ann',
      ])
    })

    it('ends observables in the unit of their request, when its client disconnects and at a close', async () => {
      const seen: string[] = []
      const look = (place: string) => void seen.push(`${place} ${user.get()}`)
      const subscribed = Promise.withResolvers<void>()
      class Events {
        stream(signal: AbortSignal): Observable<object> {
          signal.addEventListener('abort', () => look('signal'))
          return new Observable((subscriber) => {
            subscriber.next({ data: 'first' })
            return () => look('stream')
          })
        }

        reply(): Observable<string> {
          return new Observable(() => {
            subscribed.resolve()
            return () => look('reply')
          })
        }
      }
      const interceptor: NestInterceptor = {
        intercept: (_context, next) => next.handle().pipe(finalize(() => look('interceptor'))),
      }
      Controller()(Events)
      decorate(Events, 'stream', [Sse('stream'), UseInterceptors(interceptor)], [SseSignal()])
      decorate(Events, 'reply', [Get('reply')])
      const app = await appOf(adapter, [Events], { drainTimeoutMs: 1, logger: silent })
      app.use((request: IncomingMessage, _response: unknown, next: () => void) => {
        user.set(String(request.headers['x-user']))
        next()
      })
      const url = await listen(app)
      const ask = (path: string, name: string, { signal } = new AbortController()) =>
        fetch(`${url}/${path}`, { headers: { 'x-user': name }, signal })
      const hangUp = new AbortController()

      await ask('stream', 'ann', hangUp)
      const reply = ask('reply', 'bob', hangUp).catch(() => 'gone')
      await subscribed.promise
      hangUp.abort()
      await expect.poll(() => seen.toSorted()).toEqual(['interceptor ann', 'reply bob', 'signal ann', 'stream ann'])
      await ask('stream', 'carl')
      await app.close()
      await expect.poll(() => seen).toHaveLength(7)

      expect(await reply).toBe('gone')
      expect(seen.toSorted()).toEqual([
        ...['interceptor ann', 'interceptor carl', 'reply bob'],
        ...['signal ann', 'signal carl', 'stream ann', 'stream carl'],
      ])
    })

    it('runs the operators of interceptors in the unit of their request, if another one emits', async () => {
      const orders = new Subject<string>()
      let waiting = 0
      const bothWait = Promise.withResolvers<void>()
      class Orders {
        first(): Observable<string> {
          return defer(() => {
            waiting += 1
            if (waiting === 2) bothWait.resolve()
            return orders.pipe(take(1))
          })
        }

        failing(): Observable<string> {
          return this.first().pipe(
            map(() => {
              throw new Error('sold out')
            }),
          )
        }

        emit(): string {
          orders.next('order')
          return 'emitted'
        }
      }
      const outer: NestInterceptor = {
        intercept: (_context, next) => next.handle().pipe(map((text) => `${text} ${user.get()}`)),
      }
      const inner: NestInterceptor = {
        intercept: (_context, next) =>
          next.handle().pipe(
            map((text) => `${text} ${user.get()}`),
            catchError((error: Error) => of(`${error.message} ${user.get()}`)),
          ),
      }
      Controller()(Orders)
      decorate(Orders, 'first', [Get('first'), UseInterceptors(outer, inner)])
      decorate(Orders, 'failing', [Get('failing'), UseInterceptors(outer, inner)])
      decorate(Orders, 'emit', [Get('emit')])
      const app = await appOf(adapter, [Orders], { logger: silent })
      app.use((request: IncomingMessage, _response: unknown, next: () => void) => {
        user.set(String(request.headers['x-user']))
        next()
      })
      const url = await listen(app)
      const ask = async (path: string, name: string) =>
        (await fetch(`${url}/${path}`, { headers: { 'x-user': name } })).text()

      const replies = [ask('first', 'ann'), ask('failing', 'bob')]
      await bothWait.promise
      await ask('emit', 'carl')

      expect(await Promise.all(replies)).toEqual(['order ann ann', 'sold out bob bob'])
      await app.close()
    })

    it('waits for tasks at the close, before the hooks onApplicationShutdown', async () => {
      const order: string[] = []
      class Spawns {
        spawn(): string {
          spawn(async () => {
            await new Promise((resolve) => setTimeout(resolve, 30))
            order.push('task')
          })
          return 'ok'
        }

        onApplicationShutdown(): void {
          order.push('onApplicationShutdown')
        }
      }
      Controller()(Spawns)
      decorate(Spawns, 'spawn', [Get()])
      const app = await appOf(adapter, [Spawns])
      await fetch(await listen(app))

      await app.close()

      expect(order).toEqual(['task', 'onApplicationShutdown'])
    })

    it('writes the request id on the lines of its logger', async () => {
      const lines: unknown[] = []
      class Logs {
        log(): string {
          logger.log('handled')
          return 'ok'
        }
      }
      class Lines extends ContextConsoleLogger {
        protected override getJsonLogObject(...args: Parameters<ContextConsoleLogger['getJsonLogObject']>) {
          const line = super.getJsonLogObject(...args)
          if (line.message === 'handled') lines.push(line)
          return line
        }
      }
      const logger = new Lines({ json: true, forceConsole: false, logLevels: ['log'] })
      Controller()(Logs)
      decorate(Logs, 'log', [Get()])
      const app = await appOf(adapter, [Logs])
      onTestFinished(() => app.close())

      await fetch(await listen(app), { headers: { 'x-request-id': 'r-1' } })

      expect(lines).toMatchObject([{ message: 'handled', request_id: 'r-1', trace_id: expect.any(String) }])
    })
  })

  describe(`ContextConsoleLogger of Nest ${version}`, () => {
    class Lines extends ContextConsoleLogger {
      readonly lines: object[] = []
      protected override getJsonLogObject(...args: Parameters<ContextConsoleLogger['getJsonLogObject']>) {
        const line = super.getJsonLogObject(...args)
        this.lines.push(line)
        return line
      }
    }

    it.each<[name: string, keys: ContextConsoleLoggerOptions['keys'], ids: object]>([
      ['no other keys', undefined, { request_id: 'r-1', trace_id: expect.any(String) }],
      [
        'other keys',
        { request_id: 'reqId', trace_id: 'dd.trace_id' },
        { reqId: 'r-1', 'dd.trace_id': expect.any(String) },
      ],
      ['one key that is omitted', { request_id: 'reqId', trace_id: false }, { reqId: 'r-1' }],
      ['no keys', { request_id: false, trace_id: false }, {}],
    ])('writes the ids with %s', (_name, keys, ids) => {
      const print = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
      const loggers = [
        new Lines({ json: true, forceConsole: false, logLevels: ['log'], ...(keys && { keys }) }),
        new Lines('Orders', { json: true, forceConsole: false, logLevels: ['log'], ...(keys && { keys }) }),
      ]

      runInScope(() => loggers.forEach((logger) => logger.log('handled')), {
        context: newIdentity().with(requestId, 'r-1'),
      })

      print.mockRestore()
      const known = ['level', 'pid', 'timestamp', 'message', 'context']
      const own = loggers.flatMap(({ lines }) =>
        lines.map((line) => Object.fromEntries(Object.entries(line).filter(([key]) => !known.includes(key)))),
      )
      expect(own).toEqual([ids, ids])
      expect(loggers[1]?.lines).toMatchObject([{ context: 'Orders' }])
    })

    it.each([{ span_id: 'x' }, { trace_id: 5 }, { trace_id: '' }, []])('refuses the keys %o', (keys) => {
      expect(() => new ContextConsoleLogger({ keys: keys as never })).toThrow(
        /^ContextConsoleLogger: option 'keys' expected an object that has a key or false for request_id or trace_id, got /,
      )
    })
  })

  describe(`LogicalContextModule of Nest ${version}`, () => {
    it('refuses an argument of ContextValue that is not a variable', () => {
      expect(() => ContextValue('user' as never)).toThrow(
        new TypeError("ContextValue: expected a ContextVar, got 'user'."),
      )
    })

    it('refuses wrong options in forRoot', () => {
      expect(() => LogicalContextModule.forRoot({ polcy: 'isolate' } as object)).toThrow(/unknown option 'polcy'/)
    })
  })

  describe(`InContext of Nest ${version}`, () => {
    class Jobs {
      readonly ended: string[] = []

      async nightly(argument: string): Promise<string> {
        user.set(argument)
        await new Promise((resolve) => setTimeout(resolve, 20))
        this.ended.push(`${user.get()} ${requestId.get() !== undefined} ${currentSignal()?.aborted}`)
        return argument
      }
    }
    Injectable()(Jobs)
    decorate(Jobs, 'nightly', [
      InContext(),
      (_target, _key, { value }) => Reflect.defineMetadata('cron', '*', value as object),
    ])

    it('runs each call in a unit of its own, with the arguments, the result and the metadata of the method', async () => {
      const jobs = new Jobs()

      expect(await Promise.all([jobs.nightly('a'), jobs.nightly('b')])).toEqual(['a', 'b'])
      expect(jobs.ended).toEqual(['a true false', 'b true false'])
      expect(Reflect.getMetadata('cron', jobs.nightly)).toBe('*')
      expect(user.get()).toBe('nothing')
    })

    it('is waited for by the shutdown of an app without a server', async () => {
      const root = rootOf({ imports: [LogicalContextModule.forRoot()], providers: [Jobs] })
      const app = await NestFactory.createApplicationContext(root, { logger: false })
      const jobs = app.get(Jobs)
      void jobs.nightly('a')

      await app.close()

      expect(jobs.ended).toEqual(['a true false'])
    })

    it('runs also when the group of the app is full', async () => {
      const root = rootOf({ imports: [LogicalContextModule.forRoot({ limits: { maxConcurrent: 1, maxQueued: 0 } })] })
      const app = await NestFactory.createApplicationContext(root, { logger: false })
      const jobs = new Jobs()

      const both = Promise.all([jobs.nightly('a'), jobs.nightly('b')])
      await app.close()

      expect(jobs.ended).toEqual(['a true false', 'b true false'])
      expect(await both).toEqual(['a', 'b'])
    })

    it('is waited for by its app, also after another app was closed twice', async () => {
      const open = () =>
        NestFactory.createApplicationContext(rootOf({ imports: [LogicalContextModule.forRoot()] }), { logger: false })
      const app = await open()
      const other = await open()
      const jobs = new Jobs()
      await other.close()
      await other.close()
      void jobs.nightly('a')

      await app.close()

      expect(jobs.ended).toEqual(['a true false'])
    })

    it('passes a failure to the caller', async () => {
      class Fails {
        async run(): Promise<never> {
          throw new Error('no')
        }
      }
      decorate(Fails, 'run', [InContext({ name: 'job' })])

      await expect(new Fails().run()).rejects.toThrow('no')
      expect(() => InContext({ nme: 'x' } as object)).toThrow(/InContext: unknown option 'nme'/)
    })
  })
}
