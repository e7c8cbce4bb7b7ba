import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { ContextWay } from './fastify-contexts.ts'

/** The work of a handler. Returns whether it was right. */
export type HandlerWork = () => boolean | Promise<boolean>

/** A server whose handler answers `{ hello: 'world' }` if the context exists and the work returned true. */
export async function helloServer(
  way: ContextWay,
  options: FastifyServerOptions = {},
  workFor: (app: FastifyInstance) => HandlerWork | Promise<HandlerWork> = () => () => true,
): Promise<FastifyInstance> {
  const app = Fastify(options) as FastifyInstance
  const read = await way(app)
  const work = await workFor(app)
  app.get('/', async () => {
    if (read() === undefined) return { hello: 'no context' }
    const done = work()
    const right = typeof done === 'boolean' ? done : await done
    return { hello: right ? 'world' : 'and wrong' }
  })
  return app
}
