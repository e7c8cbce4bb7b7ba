import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { anyOf, anything, type Check, checkCalled, type Checks, checkOptions } from '../options.ts'
import { Inspector, inspectorChecks, type InspectorOptions, type MountedRequest } from './inspector.ts'

export type { Guard } from './access.ts'
export type { InspectorOptions } from './inspector.ts'
export type { OtherService } from './other-services.ts'

/** Options of the Fastify plugin. `prefix` is Fastify's own; its default here is `/__context`. */
export type InspectorPluginOptions = InspectorOptions<FastifyRequest> & { prefix?: string }

/** Options of `inspectorHandler`. */
export interface InspectorHandlerOptions extends InspectorOptions<IncomingMessage> {
  /** Where the page is: a path that begins with a slash. Default: `/__context`. */
  prefix?: string
}

/** A handler for a server of `node:http` or `node:http2`, and a middleware for Express and others of this form. */
export interface InspectorHandler extends Disposable {
  /** Answers the requests below the prefix. It calls `next` for others; without `next`, it answers them with 404. */
  (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
    next?: () => void,
  ): void
  /** Ends the streams and stops to record. A second call does nothing. */
  close(): void
}

type Handler = (...args: Parameters<InspectorHandler>) => void

const defaultPrefix = '/__context'
const aPrefix: Check = anyOf(
  'a path such as /__context',
  (value) => typeof value === 'string' && /^(?:\/[^/?#]+)+$/.test(value),
)
/** Fastify passes the options of `register` to every plugin, and adds these. */
const fastifyChecks: Checks = { prefix: anything, logLevel: anything, logSerializers: anything }

/**
 * A Fastify plugin that serves a live page of the requests, tasks, jobs and calls of the process. For development: in
 * production it needs the option `guard`.
 *
 * @throws {TypeError} at registration, for an option that is unknown or of the wrong type, for a sensitive variable in
 * `fields`, and in production without a guard.
 */
export const inspector: FastifyPluginAsync<InspectorPluginOptions> = async (fastify, options) => {
  const { prefix, ...own } = checkOptions('inspector', options, { ...inspectorChecks, ...fastifyChecks })
  for (const name of Object.keys(fastifyChecks)) Reflect.deleteProperty(own, name)
  const page = new Inspector<FastifyRequest>('inspector', own)
  const base = prefix === undefined ? defaultPrefix : ''
  for (const path of ['', '/', '/:file']) {
    // At the root, and below a prefix that ends with a slash, the page has one path only.
    if (base + path === '' && /^$|\/$/.test(fastify.prefix)) continue
    fastify.route({
      method: ['GET', 'HEAD'],
      url: base + path,
      exposeHeadRoute: false,
      // Fastify would add a second route with the prefix alone.
      prefixTrailingSlash: 'slash',
      logLevel: 'warn',
      handler(request, reply) {
        reply.hijack()
        const { file } = request.params as { file?: string }
        return page.serve(request.raw, reply.raw, file === undefined ? path : `/${file}`, request)
      },
    })
  }
  fastify.addHook('preClose', async () => page.endUnawaited())
  fastify.addHook('onClose', async () => page[Symbol.dispose]())
}

export default inspector

/**
 * Returns a handler for servers other than Fastify, with the same page.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type, for a sensitive variable in `fields`, and in
 * production without a guard.
 */
export function inspectorHandler(options?: InspectorHandlerOptions, ...calledByServer: never[]): InspectorHandler {
  checkCalled('inspectorHandler', 'a handler', 'inspectorHandler()', options, ...calledByServer)
  const checks = { ...inspectorChecks, prefix: aPrefix }
  const { prefix = defaultPrefix, ...own } = checkOptions('inspectorHandler', options, checks)
  const page = new Inspector<IncomingMessage>('inspectorHandler', own)
  const handler: Handler = (given, response, next) => {
    // The compatibility API of HTTP/2 has what is used here.
    const request = given as IncomingMessage
    const { url, originalUrl } = request as MountedRequest
    const rest = restOf(url, prefix) ?? restOf(originalUrl, prefix)
    if (rest !== undefined) void page.serve(request, response as ServerResponse, rest, request)
    else if (next === undefined) (response as ServerResponse).writeHead(404).end()
    else next()
  }
  Object.defineProperty(handler, 'name', { value: 'inspectorHandler' })
  const close = () => page[Symbol.dispose]()
  return Object.assign(handler, { close, [Symbol.dispose]: close })
}

/** The rest of a path after the prefix, undefined for another path. */
function restOf(url: string | undefined, prefix: string): string | undefined {
  const path = url?.split('?', 1)[0] ?? ''
  return path === prefix || path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : undefined
}
