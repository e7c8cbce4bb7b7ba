import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { Carrier } from './carrier.ts'
import { type Facts, factsOf } from './facts.ts'
import type { Work } from './work.ts'

const placeOf = ({ headers }: FastifyRequest): { owner: string; facts: Facts } => {
  const owner = String(headers['x-request-id'])
  // Some requests are nobody's.
  return { owner, facts: headers.authorization === undefined ? {} : factsOf(owner) }
}

/** A server whose every hook and handler looks at what it sees. */
export async function server(carrier: Carrier, work: Work): Promise<FastifyInstance> {
  const app = Fastify()
  await carrier.register(app)
  app.addHook('onRequest', async (request) => carrier.write(placeOf(request).facts))
  app.addHook('preParsing', async (request) => work.check('preParsing', placeOf(request)))
  app.addHook('preHandler', async (request) => work.check('preHandler', placeOf(request)))
  app.addHook('onSend', async (request) => work.check('onSend', placeOf(request)))
  app.addHook('onResponse', async (request) => work.check('onResponse', placeOf(request)))

  app.get('/text', async (request) => {
    const place = placeOf(request)
    await work.handle(place)
    return place.owner
  })
  app.get('/stream', async (request, reply) => {
    const place = placeOf(request)
    await work.handle(place)
    async function* parts() {
      for (const part of place.owner.match(/.{1,4}/g) ?? []) {
        await Promise.resolve()
        work.check('stream of a reply', place)
        yield part
      }
    }
    return reply.type('text/plain').send(Readable.from(parts()))
  })
  app.post<{ Body: { owner: string } }>('/body', async (request) => {
    await work.handle(placeOf(request))
    return request.body.owner
  })
  return app
}
