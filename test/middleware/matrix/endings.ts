import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import type { Socket } from 'node:net'
import type { FastifyServerOptions } from 'fastify'
import { type ForeignCall, type Foreigner, type ForeignPlace, foreignPlaces } from './foreign-calls.ts'
import type { Place } from './places.ts'
import type { Shop } from './shop.ts'
import type { Caller } from './sightings.ts'

/** A way in which a request ends, or comes. */
export interface Ending {
  /** The head of its column. */
  readonly name: string
  /** What happens. */
  readonly about: string
  readonly server?: FastifyServerOptions & { http2?: boolean }
  readonly foreign?: ForeignCall
  /** Sends bob's request and, on the same connection, ann's; resolves when hers is over and the client has gone. */
  act(shop: Shop): Promise<void>
}

/** A table each: what they have in common, and they. */
export const endings: Readonly<Record<string, readonly Ending[]>> = {
  'The request is answered': [
    answered('ok', '/ok', 'The handler returns a value.'),
    answered('callback', '/callback', 'The handler calls `reply.send()` in a timer.'),
    answered('throws', '/throws', 'The handler throws; the error handler answers.'),
    answered('no route', '/nowhere', 'There is no route; the not-found handler answers.'),
    answered('validation', '/ok', 'The headers do not match the schema; the error handler answers.', 'x-fail: 1'),
    answered(
      'stream',
      '/stream',
      'The reply is a stream of 8 MB, for which the buffers of a connection are too small.',
    ),
    answered('stream fails', '/broken', 'The stream is destroyed when a part of it is sent; the connection ends.'),
    answered('hijack', '/hijack', 'The handler calls `reply.hijack()` and writes to `reply.raw`.'),
    {
      name: 'body',
      about: 'The body comes in two parts, the second when the parser waits for it.',
      async act(shop) {
        const socket = await connectAsBob(shop)
        socket.write(`${post}content-length: 4\r\n\r\nab`)
        await shop.sightings.reached('body parser')
        socket.write('cd')
        await hangUpBehind(shop, socket)
      },
    },
  ],
  'The request is cut short': [
    {
      name: 'hang-up in body',
      about: 'The client destroys its socket when half the body is sent.',
      async act(shop) {
        const socket = await connectAsBob(shop)
        socket.write(`${post}content-length: 4\r\n\r\nab`)
        await shop.sightings.reached('body parser')
        socket.destroy()
        await shop.sightings.reached('response close')
      },
    },
    hungUp(
      'hook',
      '/guarded',
      'preHandler',
      'The client destroys its socket while a hook before the handler waits; both go on afterwards.',
    ),
    hungUp(
      'handler',
      '/held',
      'handler',
      'The client destroys its socket while the handler waits; the handler goes on afterwards.',
    ),
    {
      name: 'hang-up in reply',
      about: 'The client destroys its socket after it received a part of the reply, a stream.',
      async act(shop) {
        const socket = await connectAsBob(shop)
        socket.write(get('/endless', 'ann'))
        await Promise.all([shop.sightings.reached('stream read'), once(socket, 'data')])
        socket.destroy()
        await shop.sightings.reached('response close')
      },
    },
    {
      name: 'connectionTimeout',
      about: "Fastify's option `connectionTimeout` ends the connection while the handler waits.",
      server: { connectionTimeout: 1_000 },
      async act(shop) {
        const socket = await connectAsBob(shop)
        socket.write(get('/held', 'ann'))
        await releaseBehind(shop)
      },
    },
    {
      name: 'handlerTimeout',
      about: "Fastify's option `handlerTimeout` answers with a 503 while the handler waits.",
      async act(shop) {
        const socket = await connectAsBob(shop)
        socket.write(get('/timed', 'ann'))
        await releaseBehind(shop)
        await hangUpBehind(shop, socket)
      },
    },
    {
      name: 'HTTP/2 reset',
      about: 'The client resets its stream of HTTP/2 while the handler waits.',
      server: { http2: true },
      async act(shop) {
        await overHttp2(shop, async (send) => {
          const stream = send('ann', { ':path': '/held' })
          await shop.sightings.reached('handler')
          stream.close()
          await releaseBehind(shop)
        })
      },
    },
  ],
  'The request comes another way': [
    {
      name: 'pipelined',
      about: 'The request was sent before the reply to another one on its connection; it is answered after that one.',
      async act(shop) {
        const socket = await shop.connect()
        socket.write(get('/held', 'bob') + get('/ok', 'ann'))
        await shop.sightings.reached('handler, later')
        shop.release()
        await hangUpBehind(shop, socket)
      },
    },
    {
      name: 'HTTP/2',
      about: 'A stream of HTTP/2, with its body in two parts.',
      server: { http2: true },
      async act(shop) {
        await overHttp2(shop, async (send) => {
          const stream = send('ann', { ':path': '/body', ':method': 'POST', 'content-type': 'text/plain' })
          stream.write('ab')
          await shop.sightings.reached('body parser')
          stream.end('cd')
          await shop.sightings.reached('response close')
        })
      },
    },
    {
      name: 'WebSocket',
      about: 'The request opens a WebSocket, over which a message comes and then the close.',
      async act(shop) {
        const socket = await connectAsBob(shop)
        socket.write(get('/socket', 'ann', upgrade))
        await shop.sightings.reached('handler')
        socket.write(webSocketMessage)
        await shop.sightings.reached('WebSocket message')
        socket.write(webSocketClose)
        await shop.sightings.reached('WebSocket close')
        socket.destroy()
      },
    },
    {
      name: 'inject',
      about: 'The request has no connection, `app.inject()` makes it.',
      async act({ app, sightings }) {
        for (const caller of ['bob', 'ann'] as const) {
          const headers = { 'x-request-id': caller, 'content-type': 'text/plain' }
          await app.inject({ method: 'POST', url: '/body', headers, payload: 'ab' })
          await sightings.reached('response close', caller)
        }
      },
    },
  ],
  'A callback of another live request calls `done` or `reply.send`': calledBy('another live request'),
  'A callback of no request calls `done` or `reply.send`': calledBy('no request'),
}

export const allEndings: readonly Ending[] = Object.values(endings).flat()

/** A request for a path, on a connection that is kept alive. */
function answered(name: string, path: string, about: string, field?: string): Ending {
  return {
    name,
    about,
    async act(shop) {
      const socket = await connectAsBob(shop)
      socket.write(get(path, 'ann', field && `${field}\r\n`))
      await hangUpBehind(shop, socket)
    },
  }
}

/** A request for each place in which a callback continues it. */
function calledBy(by: Foreigner): Ending[] {
  return Object.entries(foreignPlaces).map(([place, path]) => ({
    name: by === 'no request' ? `${place}, by none` : `${place}, by another`,
    about: `${aboutCall(place)} in ${by === 'no request' ? 'no request' : 'another request, which is not answered yet'}.`,
    foreign: { place: place as ForeignPlace, by },
    async act(shop) {
      const other = await shop.connect()
      other.write(get('/other', 'bob'))
      await shop.sightings.reached('preHandler', 'bob')
      const socket = await connectAsBob(shop)
      socket.write(path === '/body' ? `${post}content-length: 2\r\n\r\nab` : get(path, 'ann'))
      await shop.sightings.reached('log line "request completed"')
      await hangUpBehind(shop, socket)
      other.destroy()
    },
  }))
}

function aboutCall(place: string): string {
  if (place === 'handler') return 'The handler calls `reply.send()`'
  return place === 'body parser' ? 'A body parser calls `done`' : `A hook \`${place}\` calls \`done\``
}

/** A client that goes while something waits that has been at `place`. */
function hungUp(where: string, path: string, place: Place, about: string): Ending {
  return {
    name: `hang-up in ${where}`,
    about,
    async act(shop) {
      const socket = await connectAsBob(shop)
      socket.write(get(path, 'ann'))
      await shop.sightings.reached(place)
      socket.destroy()
      await releaseBehind(shop)
    },
  }
}

function get(path: string, caller: Caller, fields: string = ''): string {
  return `GET ${path} HTTP/1.1\r\nhost: shop\r\nx-request-id: ${caller}\r\n${fields}\r\n`
}

const post = 'POST /body HTTP/1.1\r\nhost: shop\r\nx-request-id: ann\r\ncontent-type: text/plain\r\n'
const upgrade =
  'connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n' +
  `sec-websocket-key: ${btoa('0123456789abcdef')}\r\n`
/** A text of two letters and a close, masked with zeros. RFC 6455, 5.2 */
const webSocketMessage = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69])
const webSocketClose = Buffer.from([0x88, 0x80, 0, 0, 0, 0])

/** A connection on which bob has been answered: what is left of him there must not be seen by ann. */
async function connectAsBob(shop: Shop): Promise<Socket> {
  const socket = await shop.connect()
  socket.write(get('/ok', 'bob'))
  await Promise.all([shop.sightings.reached('response close', 'bob'), once(socket, 'data')])
  return socket
}

/** The connection outlives the request: its end is not the request's. */
async function hangUpBehind({ sightings }: Shop, socket: Socket): Promise<void> {
  await sightings.reached('response close')
  // After the seal, which comes some turns later: a timer can be over before them.
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
  socket.destroy()
}

/** Continues the waiting handler or hook after the end of the reply. */
async function releaseBehind({ sightings, release }: Shop): Promise<void> {
  await sightings.reached('response close')
  release()
  await sightings.reached('handler, later')
}

type SendHttp2 = (
  caller: Caller,
  headers: Record<string, string>,
) => ReturnType<ReturnType<typeof connectHttp2>['request']>

async function overHttp2(shop: Shop, use: (send: SendHttp2) => Promise<void>): Promise<void> {
  const session = connectHttp2(`http://127.0.0.1:${shop.port}`).on('error', () => {})
  const send: SendHttp2 = (caller, headers) => {
    const stream = session.request({ ...headers, 'x-request-id': caller }, { endStream: headers[':method'] !== 'POST' })
    return stream.on('error', () => {}).resume()
  }
  send('bob', { ':path': '/ok' })
  await shop.sightings.reached('response close', 'bob')
  await use(send)
  session.destroy()
}
