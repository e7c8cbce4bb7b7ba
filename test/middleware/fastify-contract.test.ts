import type { Server } from 'node:http'
import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import logicalContext from 'logical-context/middleware/fastify'
import { describeMiddleware, type ServeRequests } from 'logical-context/testing'
import { describe, expect, it } from 'vitest'
import { describeNodeServer } from '../contracts/node-server.ts'

async function listen(app: FastifyInstance) {
  return { url: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() }
}

const serve: ServeRequests = async (handler) => {
  const app = Fastify()
  await app.register(logicalContext)
  app.get('/*', async (request) => handler(request.url, request.requestScope))
  return listen(app)
}

const serveFromPlugin: ServeRequests = async (handler) => {
  const app = Fastify()
  await app.register(async (child) => {
    await child.register(logicalContext)
    child.get('/*', (request, reply) => {
      // Not async: the reply comes by a callback, and a failure by a throw.
      const answer = handler(request.url, request.requestScope)
      void Promise.resolve(answer).then((body) => reply.send(body))
    })
  })
  return listen(app)
}

describeMiddleware({ describe, it, expect }, 'the Fastify plugin', serve)
describeMiddleware(
  { describe, it, expect },
  'the Fastify plugin within a plugin, answering by callback',
  serveFromPlugin,
)

/** A logger of Fastify's that passes its lines to one of Node's servers. */
function loggerOf(logger: object): FastifyBaseLogger {
  const ignore = () => {}
  const made = { level: 'info', silent: ignore, trace: ignore, debug: ignore, fatal: ignore, ...logger }
  return Object.assign(made, { child: () => ({ ...made }) }) as never
}

const apps = new WeakMap<Server, FastifyInstance>()

describeNodeServer(
  'the Fastify plugin',
  async (handler, { logger, ...options }) => {
    const app = Fastify({ loggerInstance: logger === undefined ? undefined : loggerOf(logger) } as object)
    await app.register(logicalContext, options)
    // The handlers read the bodies.
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (_request, _body, done) => done(null))
    app.all('/*', async (request, reply) => {
      const body = await handler({ request: request.raw, response: reply.raw, scope: request.requestScope })
      return body === undefined ? reply.hijack() : reply.type('text/plain').send(body)
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    apps.set(app.server, app)
    return app.server
  },
  { close: async (server) => apps.get(server)?.close(), restarts: false },
)
