import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Client } from '../shutdown-client.ts'
import type { Column } from './measure.ts'
import type { Visits } from './visits.ts'

/** One way in which a request ends. */
export interface Ending extends Column {
  /** Sends the request of the caller ann, and resolves when its last stage was reached. */
  readonly run: (client: Client, visits: Visits, server: Server) => Promise<void>
}

const closed = 'response closes'
const later = 'handler, after await'

export const endings: readonly Ending[] = [
  {
    name: 'ok',
    about: 'The handler returns a text after an `await`.',
    run: (client, visits) => ask(client, visits, '/ok'),
  },
  { name: 'HEAD', about: 'The same for the method HEAD.', run: (client, visits) => ask(client, visits, '/ok', 'HEAD') },
  {
    name: 'body',
    about: 'The handler reads a body that arrives in two parts.',
    async run(client, visits) {
      await half(client, visits)
      client.socket.write('rest')
      await visits.reached(closed)
    },
  },
  { name: 'throws', about: 'The handler throws.', run: (client, visits) => ask(client, visits, '/throws') },
  {
    name: 'rejects',
    about: 'The handler rejects after an `await`.',
    run: (client, visits) => ask(client, visits, '/rejects'),
  },
  { name: 'no route', about: 'No route matches.', run: (client, visits) => ask(client, visits, '/nowhere') },
  { name: 'stream', about: 'The reply is a stream.', run: (client, visits) => ask(client, visits, '/stream') },
  {
    name: 'stream fails',
    about: 'The reply is a stream that fails after its first part.',
    run: (client, visits) => ask(client, visits, '/stream-fails'),
  },
  {
    name: 'pipelined',
    about: 'The request arrives in one packet with another one, which is answered first.',
    async run(client, visits) {
      client.socket.write(`${textOf('/ok', 'GET', 'bob')}${textOf('/ok')}`)
      await visits.reached(closed)
    },
  },
  {
    name: 'by another',
    about: 'A callback of another request, which is still open, continues the request.',
    async run(client, visits, server) {
      const other = await dial(server)
      other.socket.write(textOf('/parked', 'GET', 'bob'))
      await visits.reached('handler', 'bob')
      await ask(client, visits, '/elsewhere')
      visits.open()
      await visits.reached(closed, 'bob')
      other.socket.destroy()
    },
  },
  {
    name: 'gone in body',
    about: 'The client disconnects when half of the body has arrived.',
    async run(client, visits) {
      await half(client, visits)
      client.socket.destroy()
      await Promise.all([visits.reached(closed), visits.reached(later)])
    },
  },
  {
    name: 'gone in handler',
    about: 'The client disconnects while the handler waits.',
    async run(client, visits) {
      client.socket.write(textOf('/waits'))
      await visits.reached('handler')
      client.socket.destroy()
      await visits.reached(closed)
      visits.open()
      await visits.reached(later)
    },
  },
  {
    name: 'gone in reply',
    about: 'The client disconnects while it receives a stream.',
    async run(client, visits) {
      client.socket.write(textOf('/endless'))
      await client.hears('xxx')
      client.socket.destroy()
      await Promise.all([visits.reached(closed), visits.reached('stream ends')])
    },
  },
]

export async function dial(server: Server): Promise<Client> {
  return Client.open((server.address() as AddressInfo).port)
}

async function ask(client: Client, visits: Visits, path: string, method = 'GET'): Promise<void> {
  client.socket.write(textOf(path, method))
  await visits.reached(closed)
}

/** Sends a request with half of its body. */
async function half(client: Client, visits: Visits): Promise<void> {
  client.socket.write(`${textOf('/body', 'POST').slice(0, -2)}content-length: 8\r\n\r\nhalf`)
  await visits.reached('handler')
}

export function textOf(path: string, method = 'GET', caller = 'ann'): string {
  return `${method} ${path} HTTP/1.1\r\nhost: x\r\nx-user: ${caller}\r\n\r\n`
}
