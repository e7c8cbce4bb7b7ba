import { logicalContext } from 'logical-context/middleware/node-http'
import { connectEndings, measureConnect } from './connect.ts'
import { endings } from './endings.ts'
import { type Column, measure, type Seen } from './measure.ts'
import { type Kept, measurePromises } from './promises.ts'
import { serveFastify, servers } from './servers.ts'
import { measureWebSocket, websocketEndings } from './websocket.ts'

/** Servers whose requests end in the same ways. */
export interface Group {
  readonly title: string
  readonly endings: readonly Column[]
  /** By name: looks at each stage, over real sockets. */
  readonly servers: Readonly<Record<string, () => Promise<Seen>>>
}

export const groups: readonly Group[] = [
  {
    title: 'Requests of HTTP',
    endings,
    servers: Object.fromEntries(Object.entries(servers).map(([name, serve]) => [name, () => measure(serve)])),
  },
  { title: 'Messages of WebSockets', endings: websocketEndings, servers: { 'ws 8': measureWebSocket } },
  {
    title: 'Calls of Connect',
    endings: connectEndings,
    servers: { 'Connect 2': () => measureConnect(), 'Connect 2 below node:http': () => measureConnect(logicalContext) },
  },
]

/** By the name of a server: checks its other promises. */
export const promisers: Readonly<Record<string, () => Promise<Kept>>> = Object.fromEntries(
  Object.entries({ ...servers, 'Fastify 5': serveFastify }).map(([name, serve]) => [
    name,
    () => measurePromises(serve),
  ]),
)
