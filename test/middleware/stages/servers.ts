import 'reflect-metadata'
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import { All, Controller, Module, Req, StreamableFile } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import express5, { type NextFunction } from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import { requestId as honoRequestId } from 'hono/request-id'
import Koa from 'koa'
import { finalize } from 'rxjs'
import { logicalContext as expressContext } from 'logical-context/middleware/express'
import fastifyContext, { type ServerOptions } from 'logical-context/middleware/fastify'
import { logicalContext as honoContext } from 'logical-context/middleware/hono'
import { logicalContext as koaContext } from 'logical-context/middleware/koa'
import { LogicalContextModule } from 'logical-context/middleware/nestjs'
import { logicalContext as nodeContext, type NodeServerOptions } from 'logical-context/middleware/node-http'
import { requestId } from 'logical-context/variables'
import { closeOf, listen, silent } from '../../contracts/node-server.ts'
import { paths, type Visits } from './visits.ts'

/** A server under test, and how it closes. */
export interface Served {
  readonly server: Server
  readonly close: () => Promise<unknown>
}

/** Starts a server of which each stage is visited. */
export type Serve = (visits: Visits, options?: NodeServerOptions) => Promise<Served>

/** By name. */
export const servers: Readonly<Record<string, Serve>> = {
  'node:http': async (visits, options) =>
    served(
      createServer(
        nodeContext(
          async (request, response) => {
            visits.begin(request, response)
            visits.look('listener', request)
            await new Promise<void>((resolve) => visits.next(request, resolve))
            if (hasRoute(request)) send(response, await visits.answer(request))
            else response.writeHead(404).end()
          },
          { logger: silent, ...options },
        ),
      ),
    ),
  'Express 5': (visits, options) => serveExpress(express5, visits, options),
  'Express 4': async (visits, options) => {
    // It has no types: those of Express 5 are used. A literal would be looked up.
    const name: string = 'express4'
    return serveExpress(((await import(name)) as { default: typeof express5 }).default, visits, options)
  },
  'Koa 3': async (visits, options) => {
    const app = new Koa()
    app.use(koaContext({ logger: silent, ...options }))
    app.use(async ({ req, res }, next) => {
      visits.begin(req, res)
      visits.look('middleware', req)
      const after = () => visits.look('middleware, after next', req)
      return new Promise<void>((resolve) => visits.next(req, () => resolve(next()))).finally(after)
    })
    app.use(async (ctx) => {
      if (hasRoute(ctx.req)) ctx.body = await visits.answer(ctx.req)
    })
    app.on('error', (_error, { req }: Koa.Context) => visits.look('event error', req))
    const handle = app.callback()
    return served(createServer((request, response) => void handle(request, response)))
  },
  'Hono 4': async (visits, options) => {
    const app = new Hono<{ Bindings: HttpBindings }>()
    app.use(honoContext({ logger: silent, ...options }))
    app.use(honoRequestId({ headerName: '', generator: () => requestId.get() ?? '' }))
    app.use(async (c, next) => {
      const { incoming, outgoing } = c.env
      visits.begin(incoming, outgoing)
      visits.lookAtId(c.get('requestId' as never))
      visits.look('middleware', incoming)
      const after = () => visits.look('middleware, after next', incoming)
      return new Promise<void>((resolve) => visits.next(incoming, () => resolve(next()))).finally(after)
    })
    for (const path of paths) {
      app.all(path, async (c) => {
        const body = await visits.answer(c.env.incoming)
        return new Response(body instanceof Readable ? (Readable.toWeb(body) as ReadableStream) : (body as string))
      })
    }
    app.onError((_error, c) => {
      visits.look('onError', c.env.incoming)
      return c.text('no', 500)
    })
    app.notFound((c) => {
      visits.look('notFound', c.env.incoming)
      return c.text('no', 404)
    })
    return served(createAdaptorServer({ fetch: app.fetch }) as Server)
  },
  'NestJS 12 on Express': (visits, options) => serveNest(new ExpressAdapter(), visits, options),
  'NestJS 12 on Fastify': (visits, options) => serveNest(new FastifyAdapter({ genReqId }), visits, options),
}

/** Fastify's stages are on a page of its own. */
export const serveFastify: Serve = async (visits, options = {}) => {
  const app = Fastify({ genReqId })
  await app.register(fastifyContext, options as ServerOptions)
  // The handler reads the body.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  app.addHook('onRequest', async ({ raw, id }, reply) => {
    visits.begin(raw, reply.raw)
    visits.lookAtId(id)
  })
  for (const path of paths) app.all(path, async ({ raw }) => visits.answer(raw))
  await app.listen({ host: '127.0.0.1', port: 0 })
  return { server: app.server, close: () => app.close() }
}

/** The option of Fastify, for requests without an id of a trusted peer. */
function genReqId(): string {
  return `own-${randomUUID()}`
}

async function serveExpress(express: typeof express5, visits: Visits, options?: NodeServerOptions): Promise<Served> {
  const app = express().set('env', 'test')
  app.use(expressContext({ logger: silent, ...options }))
  app.use((request, response, next) => {
    visits.begin(request, response)
    visits.look('middleware', request)
    visits.next(request, next)
  })
  app.all([...paths], (request, response) => {
    const body = visits.answer(request)
    return body instanceof Promise ? body.then((text) => send(response, text)) : send(response, body)
  })
  app.use((request, _response, next) => {
    visits.look('middleware for unknown paths', request)
    next()
  })
  app.use((_error: unknown, request: IncomingMessage, response: express5.Response, _next: NextFunction) => {
    visits.look('error handler', request)
    response.status(500).send('no')
  })
  return served(createServer(app))
}

async function serveNest(
  adapter: ExpressAdapter | FastifyAdapter,
  visits: Visits,
  options?: NodeServerOptions,
): Promise<Served> {
  class Everything {
    async answer(request: NestRequest): Promise<unknown> {
      const body = await visits.answer(rawOf(request))
      return body instanceof Readable ? new StreamableFile(body) : body
    }
  }
  Controller()(Everything)
  Req()(Everything.prototype, 'answer', 0)
  All([...paths])(Everything.prototype, 'answer', {
    ...(Object.getOwnPropertyDescriptor(Everything.prototype, 'answer') as PropertyDescriptor),
  })
  const metadata = {
    imports: [LogicalContextModule.forRoot({ logger: silent, ...options })],
    controllers: [Everything],
  }
  class Root {
    readonly metadata = metadata
  }
  Module(metadata)(Root)
  const app = await NestFactory.create(Root, adapter as never, { logger: false })
  // The handler reads the body.
  if (adapter instanceof FastifyAdapter) {
    adapter.getInstance().addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  }
  const look = (stage: string, context: { switchToHttp(): { getRequest(): NestRequest } }) =>
    visits.look(stage, rawOf(context.switchToHttp().getRequest()))
  app.use((request: IncomingMessage, response: ServerResponse, next: () => void) => {
    visits.begin(request, response)
    visits.look('middleware', request)
    visits.next(request, next)
  })
  app.useGlobalGuards({
    canActivate(context) {
      look('guard', context)
      const { id } = context.switchToHttp().getRequest<{ id?: string }>()
      if (id !== undefined) visits.lookAtId(id)
      return true
    },
  })
  app.useGlobalInterceptors({
    intercept(context, next) {
      look('interceptor', context)
      return next.handle().pipe(finalize(() => look('interceptor, after the handler', context)))
    },
  })
  app.useGlobalPipes({ transform: (value: NestRequest) => (visits.look('pipe', rawOf(value)), value) })
  app.useGlobalFilters({
    catch(error: { getStatus?(): number }, host) {
      look('filter', host)
      const reply = host.switchToHttp().getResponse<{ status(code: number): { send(body: string): void } }>()
      reply.status(error.getStatus?.() ?? 500).send('no')
    },
  })
  await app.listen(0, '127.0.0.1')
  return { server: app.getHttpServer() as Server, close: () => app.close() }
}

/** A request of Express, or one of Fastify. */
type NestRequest = IncomingMessage | { readonly raw: IncomingMessage }

function rawOf(request: NestRequest): IncomingMessage {
  return 'raw' in request ? request.raw : request
}

async function served(server: Server): Promise<Served> {
  return { server: await listen(server), close: () => closeOf(server) }
}

function hasRoute({ url }: IncomingMessage): boolean {
  return paths.includes(url ?? '')
}

function send(response: ServerResponse, body: unknown): void {
  if (body instanceof Readable) pipeline(body, response, () => {})
  else response.end(body)
}
