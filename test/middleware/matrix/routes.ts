import { Readable } from 'node:stream'
import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ForeignCaller } from './foreign-calls.ts'
import type { Place } from './places.ts'
import type { Recipe } from './recipes.ts'
import { callerOf, type See } from './shop.ts'

/** More than the client's and the server's buffers take: the stream is read on when the connection has drained. */
const streamChunks = 64
const chunk = 'x'.repeat(128 * 1024)

/** A route for each way in which a request may end; `held` ends when the handler of `/held`, or a hook, may go on. */
export async function addRoutes(
  app: FastifyInstance,
  recipe: Recipe,
  see: See,
  held: Promise<void>,
  foreign: ForeignCaller,
): Promise<void> {
  const look = (request: FastifyRequest, place: Place) => see(callerOf(request), place, recipe.user())
  const handle = async (request: FastifyRequest, wait: () => Promise<unknown> = turn) => {
    look(request, 'handler')
    await wait()
    look(request, 'handler, later')
    return { caller: callerOf(request) }
  }
  // The body of the schemas does not matter: the compilers are ours.
  const schema = { headers: {}, response: { 200: {} } }

  app.get('/ok', { schema }, (request) => handle(request))
  app.post('/body', { schema }, (request) => handle(request))
  app.get('/held', { schema }, (request) => handle(request, () => held))
  app.get('/guarded', { schema, preHandler: () => held }, (request) => handle(request))
  app.get('/timed', { schema, handlerTimeout: 1_000 }, (request) => handle(request, () => held))
  app.get('/callback', { schema }, (request, reply) => {
    look(request, 'handler')
    setTimeout(() => {
      look(request, 'handler, later')
      foreign.callBack(request, 'handler', () => void reply.send({ caller: callerOf(request) }))
    }, 1)
  })
  app.get('/throws', { schema }, async (request) => {
    await handle(request)
    throw new Error('no')
  })
  app.get('/hijack', { schema }, async (request, reply) => {
    reply.hijack()
    await handle(request)
    reply.raw.end('bye')
  })
  app.get('/stream', async (request) => streamOf(request, streamChunks, look))
  app.get('/endless', async (request) => streamOf(request, Number.POSITIVE_INFINITY, look))
  app.get('/broken', async (request) => streamOf(request, 2, look, new Error('no')))

  await app.register(websocket)
  app.get('/socket', { websocket: true }, (socket, request) => {
    look(request, 'handler')
    for (const event of ['message', 'close'] as const) {
      socket.on(event, () => look(request, `WebSocket ${event}`))
      socket.on(
        event,
        recipe.bind(() => look(request, `WebSocket ${event}, bound`)),
      )
    }
  })
}

/** A reply in parts, each of which comes a turn later, as from a file. */
function streamOf(
  request: FastifyRequest,
  parts: number,
  look: (request: FastifyRequest, place: Place) => void,
  failure?: Error,
): Readable {
  let sent = 0
  const stream = new Readable({
    read() {
      look(request, 'stream read')
      setImmediate(() => {
        if (sent++ < parts) this.push(chunk)
        else if (failure === undefined) this.push(null)
        else this.destroy(failure)
      })
    },
  })
  for (const event of ['end', 'error', 'close'] as const) stream.on(event, () => look(request, `stream ${event}`))
  return stream
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
