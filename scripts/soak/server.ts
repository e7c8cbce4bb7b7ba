import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Carrier } from './carrier.ts'
import { factsOf, type Sender } from './facts.ts'
import type { Place, Work } from './work.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The values that this request must see. */
    place: Place
  }
}

/** A server that checks the values in every hook and handler. */
export async function server(carrier: Carrier, work: Work): Promise<FastifyInstance> {
  const app = Fastify()
  await carrier.register(app)
  app.decorateRequest('place')
  app.addHook('onRequest', async (request) => {
    const owner = String(request.headers['x-request-id'])
    const sender = request.headers['x-sender'] as Sender
    request.place = { owner, sender, facts: factsOf(owner, sender) }
    carrier.write(request.place.facts)
  })
  app.addHook('preParsing', async ({ place }) => work.check('preParsing', place))
  app.addHook('preHandler', async ({ place }) => work.check('preHandler', place))
  app.addHook('onSend', async ({ place }) => work.check('onSend', place))
  app.addHook('onResponse', async ({ place }) => work.check('onResponse', place))

  app.get('/text', async ({ place }) => {
    await work.handle(place)
    return place.owner
  })
  app.get('/stream', async ({ place }, reply) => {
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
  app.post<{ Body: { owner: string } }>('/body', async ({ place, body }) => {
    await work.handle(place)
    return body.owner
  })
  return app
}
