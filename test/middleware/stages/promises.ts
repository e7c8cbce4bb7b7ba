import { setTimeout as delay } from 'node:timers/promises'
import type { NodeServerOptions } from 'logical-context/middleware/node-http'
import { w3cBaggage } from 'logical-context/propagators'
import { urlOf } from '../../contracts/node-server.ts'
import type { Caller } from '../matrix/sightings.ts'
import { dial, textOf } from './endings.ts'
import type { Column } from './measure.ts'
import type { Serve, Served } from './servers.ts'
import { large, tenant, Visits } from './visits.ts'

/** By the name of a promise: whether it was kept; undefined if the server has no such thing. */
export type Kept = Partial<Record<string, boolean>>

/** What the servers promise besides the values in their stages. */
export const promises: readonly Column[] = [
  { name: 'idle', about: 'A close ends a connection without a running request at once.' },
  { name: 'silent', about: 'A close ends a connection that has sent nothing.' },
  { name: 'half a request', about: 'A close ends a connection that has sent half a request.' },
  { name: 'in the handler', about: 'A close waits for the handler, and sends its reply.' },
  { name: 'half a body', about: 'A close waits for the rest of a body, and for the reply.' },
  { name: 'slow reader', about: 'A close waits until a large reply is sent.' },
  { name: 'pipelined', about: 'A close sends the replies of two requests of a connection.' },
  { name: 'task', about: 'A close waits for tasks.' },
  { name: 'limit', about: 'A close ends at its limit, with a handler that never settles.' },
  { name: 'trust', about: 'The values of a listed peer are taken.' },
  { name: 'no trust', about: 'The values of another peer are not taken.' },
  { name: 'request id', about: 'The id of a private peer is continued, and is in the reply.' },
  { name: "framework's id", about: "The id of Fastify's `genReqId`, or of `hono/request-id`, is that of the unit." },
]

/** Checks each promise of a server, over real sockets. */
export async function measurePromises(serve: Serve): Promise<Kept> {
  return { ...(await measureClose(serve)), ...(await measureLimit(serve)), ...(await measurePeers(serve)) }
}

/** A close that does not end by itself ends later than this. */
const longMs = 20_000
const limitMs = 50

/** One close, with a connection in each state. */
async function measureClose(serve: Serve): Promise<Kept> {
  const visits = new Visits()
  const { server, close } = await serve(visits, { drainTimeoutMs: longMs })
  const open = () => dial(server)
  const [idle, silent, halfRequest, busy] = [await open(), await open(), await open(), await open()]
  const [upload, reader, pipelined] = [await open(), await open(), await open()]
  const caller = (name: string) => name as Caller
  idle.socket.write(textOf('/spawns'))
  busy.socket.write(textOf('/waits', 'GET', caller('busy')))
  upload.socket.write(`${textOf('/body', 'POST', caller('upload')).slice(0, -2)}content-length: 8\r\n\r\nhalf`)
  reader.socket.write(textOf('/large'))
  pipelined.socket.write(textOf('/waits', 'GET', caller('first')) + textOf('/waits', 'GET', caller('second')))
  const waiting = ['busy', 'upload', 'first', 'second'].map((name) => visits.reached('handler', caller(name)))
  await Promise.all([...waiting, idle.hears('ok'), reader.hears('xxx')])
  reader.socket.pause()
  halfRequest.socket.write('GET / HTTP/1.1\r\nhost')

  const closed = close().then(() => visits.ended.push('close'))
  const endsAtOnce = await inTime(idle.closed)
  visits.open()
  upload.socket.write('rest')
  reader.socket.resume()
  const clients = [silent, halfRequest, busy, upload, reader, pipelined]
  const ended = await Promise.all(clients.map((client) => inTime(client.closed)))
  const isClosed = await inTime(closed)
  for (const client of [idle, ...clients]) client.socket.destroy()
  return {
    idle: endsAtOnce,
    silent: ended[0] === true,
    'half a request': ended[1] === true,
    'in the handler': isWhole(busy.heard, 1),
    'half a body': isWhole(upload.heard, 1),
    'slow reader': reader.heard.endsWith(large),
    pipelined: isWhole(pipelined.heard, 2),
    task: isClosed && visits.ended.join() === 'task,close',
  }
}

async function measureLimit(serve: Serve): Promise<Kept> {
  const visits = new Visits()
  const { server, close } = await serve(visits, { drainTimeoutMs: limitMs, settleTimeoutMs: 1 })
  const client = await dial(server)
  client.socket.write(textOf('/waits'))
  await visits.reached('handler')
  const isClosed = await inTime(close())
  visits.open()
  client.socket.destroy()
  return { limit: isClosed }
}

async function measurePeers(serve: Serve): Promise<Kept> {
  const propagators = [w3cBaggage({ members: { tenant } })]
  const trusting = await ask(serve, { propagators, trust: ['127.0.0.1'] }, { baggage: 'tenant=acme' })
  const usual = await ask(serve, { propagators, onRefusal() {} }, { baggage: 'tenant=acme' })
  const identified = await ask(serve, {}, { 'x-request-id': 'r-1' })
  const ids = [...usual.visits.ids, ...identified.visits.ids]
  return {
    trust: trusting.text.startsWith('acme '),
    'no trust': usual.text.startsWith('undefined '),
    'request id': identified.text.endsWith(' r-1') && identified.replyId === 'r-1',
    ...(ids.length > 0 && { "framework's id": ids.every(([own, units]) => own !== undefined && own === units) }),
  }
}

async function ask(serve: Serve, options: NodeServerOptions, headers: Record<string, string>) {
  const visits = new Visits()
  const { server, close }: Served = await serve(visits, options)
  const response = await fetch(`${urlOf(server)}/tells`, { headers: { 'x-user': 'ann', ...headers } })
  const text = await response.text()
  await close()
  return { visits, text, replyId: response.headers.get('x-request-id') }
}

async function inTime(promise: Promise<unknown>): Promise<boolean> {
  const limit = new AbortController()
  const late = delay(longMs / 2, false, { signal: limit.signal }).catch(() => false)
  const result = await Promise.race([promise.then(() => true), late])
  limit.abort()
  return result
}

function isWhole(heard: string, replies: number): boolean {
  return heard.split('HTTP/1.1 200').length === replies + 1 && heard.split('ok').length > replies
}
