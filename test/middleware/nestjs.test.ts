import 'reflect-metadata'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import { All, Controller, type INestApplication, Module, Req, Res } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { LogicalContextModule } from 'logical-context/middleware/nestjs'
import type { NodeServerOptions } from 'logical-context/middleware/node-http'
import { describeNestjs } from '../contracts/nestjs.ts'
import { describeNodeServer, type Handler, scopeOf } from '../contracts/node-server.ts'

describeNestjs('12')

const apps = new WeakMap<Server, INestApplication>()
// On Fastify it registers the plugin for Fastify, which has its own tests.
describeNodeServer('the module for Nest on Express', serve, {
  close: async (server) => apps.get(server)?.close(),
  restarts: false,
})

async function serve(handler: Handler, options: NodeServerOptions): Promise<Server> {
  class Everything {
    async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
      const body = await handler({ request, response, scope: scopeOf(request) })
      if (body instanceof Readable) pipeline(body, response, () => {})
      else if (body !== undefined) response.end(body)
    }
  }
  Controller()(Everything)
  Req()(Everything.prototype, 'answer', 0)
  Res()(Everything.prototype, 'answer', 1)
  const method = Object.getOwnPropertyDescriptor(Everything.prototype, 'answer') as PropertyDescriptor
  All(['', ':path'])(Everything.prototype, 'answer', method)
  const metadata = { imports: [LogicalContextModule.forRoot(options)], controllers: [Everything] }
  class Root {
    readonly metadata = metadata
  }
  Module(metadata)(Root)
  const app = await NestFactory.create(Root, new ExpressAdapter(), { logger: false })
  await app.listen(0, '127.0.0.1')
  const server = app.getHttpServer() as Server
  apps.set(server, app)
  return server
}
