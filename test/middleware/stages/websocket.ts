import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { ContextVar } from 'logical-context'
import { logicalContext } from 'logical-context/middleware/websocket'
import { WebSocket, WebSocketServer } from 'ws'
import { silent } from '../../contracts/node-server.ts'
import { type Caller, Sightings } from '../matrix/sightings.ts'
import type { Column, Seen } from './measure.ts'

const user = new ContextVar<string>('user')

/** What a message of the caller ann says, and what follows. */
interface Ending extends Column {
  readonly text: string
  /** What happens while the listener of the message waits. */
  readonly meanwhile?: (client: WebSocket, server: WebSocketServer) => unknown
  readonly last: string
}

const closed = 'close'
const later = 'message, after await'

export const websocketEndings: readonly Ending[] = [
  { name: 'message', about: 'A message is answered, while one of another client is too.', text: 'ok', last: later },
  { name: 'throws', about: 'The listener of the message throws.', text: 'throws', last: 'onError' },
  { name: 'rejects', about: 'The listener of the message rejects.', text: 'rejects', last: 'onError' },
  {
    name: 'client closes',
    about: 'The client closes its connection while the listener waits.',
    text: 'waits',
    meanwhile: (client) => client.close(),
    last: later,
  },
  {
    name: 'client gone',
    about: 'The connection breaks while the listener waits.',
    text: 'waits',
    meanwhile: (client) => client.terminate(),
    last: later,
  },
  {
    name: 'server closes',
    about: 'The server closes while the listener waits.',
    text: 'waits',
    meanwhile: (_client, server) => server.close(),
    last: closed,
  },
]

export async function measureWebSocket(): Promise<Seen> {
  const seen: [string, Seen[string]][] = []
  for (const ending of websocketEndings) seen.push([ending.name, await measureEnding(ending)])
  return Object.fromEntries(seen)
}

async function measureEnding({ text, meanwhile, last }: Ending): Promise<Seen[string]> {
  const sightings = new Sightings<string>()
  const gate = Promise.withResolvers<void>()
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  const look = (stage: string, caller: Caller) => sightings.see(caller, stage, user.get())
  logicalContext(server, { logger: silent, onError: () => look('onError', 'ann') })
  server.on('connection', (socket: WebSocket, request: IncomingMessage) => {
    const caller = request.headers['x-user'] as Caller
    user.set(caller)
    look('connection', caller)
    const onMessage = (data: Buffer): unknown => {
      look('message', caller)
      if (String(data) === 'throws') throw new Error('planted')
      return answer(socket, String(data), caller)
    }
    socket.on('message', onMessage)
    socket.on('close', () => look(closed, caller))
  })
  const answer = async (socket: WebSocket, said: string, caller: Caller) => {
    await turn()
    if (said === 'waits') await gate.promise
    look(later, caller)
    if (said === 'rejects') throw new Error('planted')
    socket.send('ok')
  }

  await once(server, 'listening')
  const [client, other] = await Promise.all([dial(server, 'ann'), dial(server, 'bob')])
  other.send('ok')
  client.send(text)
  await sightings.reached('message')
  await meanwhile?.(client, server)
  if (meanwhile !== undefined && last === later) await sightings.reached(closed)
  gate.resolve()
  await Promise.all([sightings.reached(last), sightings.reached(later, 'bob')])
  client.terminate()
  other.terminate()
  await sightings.reached(closed)
  await new Promise((resolve) => server.close(resolve))
  return sightings.of('ann')
}

async function dial(server: WebSocketServer, caller: Caller): Promise<WebSocket> {
  const { port } = server.address() as AddressInfo
  const client = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { 'x-user': caller } })
  client.on('error', () => {})
  await once(client, 'open')
  return client
}
