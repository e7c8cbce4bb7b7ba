import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { ContextWay } from './fastify-contexts.ts'

/** Something that a handler does; it says whether all was as it should be. */
export type HandlerWork = () => boolean | Promise<boolean>

/** A server whose handler answers `{ hello: 'world' }`, if it finds its context and its work says that it was right. */
export async function helloServer(
  way: ContextWay,
  options: FastifyServerOptions = {},
  workFor: (app: FastifyInstance) => HandlerWork | Promise<HandlerWork> = () => () => true,
): Promise<FastifyInstance> {
  const app = Fastify(options) as FastifyInstance
  const read = await way(app)
  const work = await workFor(app)
  app.get('/', async () => {
    if (read() === undefined) return { hello: 'nobody' }
    const done = work()
    const right = typeof done === 'boolean' ? done : await done
    return { hello: right ? 'world' : 'and wrong' }
  })
  return app
}
