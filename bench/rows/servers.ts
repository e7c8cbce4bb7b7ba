// The other servers, without the kernel: a hello world that reads a request id from its context.
import { AsyncLocalStorage } from 'node:async_hooks'
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type * as Common from '@nestjs/common'
import type * as Core from '@nestjs/core'
import type Koa from 'koa'
import { MemoryConnection } from '../harness/memory-connection.ts'
import { type MicroRow, ours, type Role, type Side } from '../harness/row.ts'

/** Reads a request id from the context; undefined without one. */
type Read = () => unknown
/** A middleware as Express, Nest and cls-rtracer have it. */
type Middleware = (request: IncomingMessage, response: ServerResponse, next: () => void) => void
/** How one framework gets its context. */
type Ways = Readonly<Record<string, readonly [role: Role, serve: () => Promise<Server>]>>

const storage = new AsyncLocalStorage<{ id: string }>()
const readStorage: Read = () => storage.getStore()?.id
const none: Read = () => true
let last = 0
const nextId = () => `${++last}`
const runInStorage: Middleware = (_request, _response, next) => storage.run({ id: nextId() }, next)
const pass: Middleware = (_request, _response, next) => next()
const oneLine = 'one-line als.run'

const answer = (read: Read) => ({ hello: read() === undefined ? 'no context' : 'world' })

/** The options of our middlewares: only a scope and a request id. */
async function options() {
  const { xRequestId } = await import('logical-context/propagators')
  return { propagators: [xRequestId()], replyIdHeader: false as const }
}

async function readRequestId(): Promise<Read> {
  const { requestId } = await import('logical-context/variables')
  return () => requestId.get()
}

async function rtracer() {
  const { default: peer } = await import('cls-rtracer')
  return peer
}

const nodeHttp: Ways = {
  bare: ['floor', async () => createServer(listener(none))],
  [oneLine]: ['reference', async () => wrapped(runInStorage, listener(readStorage))],
  [ours]: [
    'ours',
    async () => {
      const { logicalContext } = await import('logical-context/middleware/node-http')
      return createServer(logicalContext(listener(await readRequestId()), await options()))
    },
  ],
  'cls-rtracer': [
    'peer',
    async () => {
      const peer = await rtracer()
      return wrapped(
        (_request, _response, next) => peer.runWithId(next, nextId()),
        listener(() => peer.id()),
      )
    },
  ],
}

function listener(read: Read) {
  return (_request: IncomingMessage, response: ServerResponse): void => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer(read)))
  }
}

function wrapped(middleware: Middleware, next: ReturnType<typeof listener>): Server {
  return createServer((request, response) => middleware(request, response, () => next(request, response)))
}

const express: Ways = {
  bare: ['floor', () => serveExpress(pass, none)],
  [oneLine]: ['reference', () => serveExpress(runInStorage, readStorage)],
  [ours]: [
    'ours',
    async () => {
      const { logicalContext } = await import('logical-context/middleware/express')
      return serveExpress(logicalContext(await options()), await readRequestId())
    },
  ],
  'cls-rtracer': [
    'peer',
    async () => {
      const peer = await rtracer()
      return serveExpress(peer.expressMiddleware() as Middleware, () => peer.id())
    },
  ],
}

async function serveExpress(middleware: Middleware, read: Read): Promise<Server> {
  const { default: framework } = await import('express')
  const app = framework()
  app.use(middleware)
  app.get('/', (_request, response) => void response.json(answer(read)))
  return createServer(app)
}

type KoaMiddleware = (context: never, next: () => Promise<unknown>) => unknown

const koa: Ways = {
  bare: ['floor', () => serveKoa((_context, next) => next(), none)],
  [oneLine]: ['reference', () => serveKoa((_context, next) => storage.run({ id: nextId() }, next), readStorage)],
  [ours]: [
    'ours',
    async () => {
      const { logicalContext } = await import('logical-context/middleware/koa')
      return serveKoa(logicalContext(await options()), await readRequestId())
    },
  ],
  'cls-rtracer': [
    'peer',
    async () => {
      const peer = await rtracer()
      return serveKoa(peer.koaMiddleware() as KoaMiddleware, () => peer.id())
    },
  ],
}

async function serveKoa(middleware: KoaMiddleware, read: Read): Promise<Server> {
  const { default: Framework } = await import('koa')
  const app = new Framework()
  app.use(middleware as Koa.Middleware)
  app.use((context) => {
    context.body = answer(read)
  })
  const handle = app.callback()
  return createServer((request, response) => void handle(request, response))
}

const hono: Ways = {
  bare: ['floor', () => serveHono((_context, next) => next(), none)],
  [oneLine]: ['reference', () => serveHono((_context, next) => storage.run({ id: nextId() }, next), readStorage)],
  [ours]: [
    'ours',
    async () => {
      const { logicalContext } = await import('logical-context/middleware/hono')
      return serveHono(logicalContext(await options()) as HonoMiddleware, await readRequestId())
    },
  ],
  'contextStorage of hono': [
    'peer',
    async () => {
      const { contextStorage, getContext } = await import('hono/context-storage')
      return serveHono(contextStorage() as HonoMiddleware, () => getContext())
    },
  ],
}

type HonoMiddleware = (context: never, next: () => Promise<void>) => Promise<void>

async function serveHono(middleware: HonoMiddleware, read: Read): Promise<Server> {
  const { Hono } = await import('hono')
  const { createAdaptorServer } = await import('@hono/node-server')
  const app = new Hono()
  app.use(middleware as never)
  app.get('/', (context) => context.json(answer(read)))
  return createAdaptorServer({ fetch: app.fetch }) as Server
}

const nestjs: Ways = {
  bare: ['floor', () => serveNest([], pass, none)],
  [oneLine]: ['reference', () => serveNest([], runInStorage, readStorage)],
  [ours]: [
    'ours',
    async () => {
      const { LogicalContextModule } = await import('logical-context/middleware/nestjs')
      return serveNest([LogicalContextModule.forRoot(await options())], pass, await readRequestId())
    },
  ],
  'nestjs-cls': [
    'peer',
    async () => {
      await import('reflect-metadata')
      const { ClsMiddleware, ClsModule, ClsServiceManager } = await import('nestjs-cls')
      const { NestFactory } = await import('@nestjs/core')
      // The middleware reads the plugins of Nest: none. The module of the app has to be of the library's copy of Nest.
      await NestFactory.createApplicationContext(ClsModule.forRoot(), { logger: false })
      const cls = ClsServiceManager.getClsService()
      const middleware = new ClsMiddleware({ generateId: true, idGenerator: nextId })
      return serveNest(
        [],
        (request, response, next) => void middleware.use(request, response, next),
        () => cls.getId(),
      )
    },
  ],
}

/** Nest of the folder of the library: its module has to be of the same copy. */
async function serveNest(imports: unknown[], middleware: Middleware, read: Read): Promise<Server> {
  const library = createRequire(import.meta.resolve('logical-context/package.json'))
  library('reflect-metadata')
  const { Controller, Get, Module } = library('@nestjs/common') as typeof Common
  const { NestFactory } = library('@nestjs/core') as typeof Core
  class Hello {
    answer(): unknown {
      return answer(read)
    }
  }
  Controller()(Hello)
  Get()(Hello.prototype, 'answer', Object.getOwnPropertyDescriptor(Hello.prototype, 'answer') as PropertyDescriptor)
  class Root {
    readonly imports = imports
  }
  Module({ imports: imports as never, controllers: [Hello] })(Root)
  const app = await NestFactory.create(Root, { logger: false })
  app.use(middleware)
  await app.init()
  return app.getHttpServer() as Server
}

function rowOf(name: string, framework: string, ways: Ways): MicroRow {
  const peer = Object.entries(ways).find(([, [role]]) => role === 'peer')?.[0] ?? ''
  return {
    kind: 'micro',
    newestNodeOnly: true,
    // As the rows of Fastify without the kernel.
    windows: 200,
    name: `server-${name}`,
    title: `${framework} without the kernel: scope and request id alone`,
    about:
      'A hello world that reads the request id from its context. One request after the other, over a keep-alive connection in memory.',
    sides: Object.entries(ways).map(([side, [role, serve]]) => sideOf(side, role, serve)),
    targets: [{ words: `adds at most what ${peer} adds`, figure: 'ns', against: peer, above: 'bare', atMost: 1 }],
  }
}

function sideOf(name: string, role: Role, serve: () => Promise<Server>): Side {
  return {
    name,
    role,
    async setup() {
      const connection = new MemoryConnection(await serve(), {})
      return {
        op: () => connection.ask(),
        awaited: true,
        async check() {
          assert.match(await connection.ask(), /^HTTP\/1\.1 200 [^]*\r\n\r\n\{"hello":"world"\}$/)
        },
      }
    },
  }
}

export const servers: readonly MicroRow[] = [
  rowOf('node-http', 'node:http', nodeHttp),
  rowOf('express', 'Express', express),
  rowOf('koa', 'Koa', koa),
  rowOf('hono', 'Hono', hono),
  rowOf('nestjs', 'NestJS', nestjs),
]
