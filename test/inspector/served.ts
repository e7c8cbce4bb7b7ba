import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import {
  inspector,
  type InspectorHandlerOptions,
  inspectorHandler,
  type InspectorPluginOptions,
} from 'logical-context/inspector'
import logicalContext, { type LogicalContextOptions } from 'logical-context/middleware/fastify'
import { onTestFinished } from 'vitest'

/** An app with the plugin and an inspector, until the end of the test. */
export async function appWith(
  options: InspectorPluginOptions,
  routes: (app: FastifyInstance) => unknown = () => {},
  context: LogicalContextOptions = {},
): Promise<{ app: FastifyInstance; url: string; page: string }> {
  const app = Fastify()
  onTestFinished(() => app.close())
  await app.register(logicalContext, { drainTimeoutMs: 2000, ...context })
  await app.register(inspector, { service: 'shop', ...options })
  routes(app)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { app, url, page: `${url}${options.prefix ?? '/__context'}` }
}

/** A server with the plain handler only, until the end of the test. */
export async function handlerWith(
  options: InspectorHandlerOptions = {},
): Promise<{ server: Server; url: string; page: string }> {
  const handler = inspectorHandler({ service: 'shop', ...options })
  const server = createServer(handler)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => {
    handler.close()
    server.close().closeAllConnections()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { server, url, page: `${url}${options.prefix ?? '/__context'}` }
}
