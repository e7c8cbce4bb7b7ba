import Fastify, { type FastifyInstance } from 'fastify'
import logicalContext from 'logical-context/middleware/fastify'
import { describeMiddleware, type ServeRequests } from 'logical-context/testing'
import { describe, expect, it } from 'vitest'

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
