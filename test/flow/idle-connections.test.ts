import { EventEmitter, once } from 'node:events'
import { Agent, createServer, get, type Server } from 'node:http'
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import Fastify, { type FastifyRequest } from 'fastify'
import { ContextVar, current, runInScope } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { Pool } from 'undici'
import { Pool as Pool7 } from 'undici7'
import { describe, expect, it, onTestFinished } from 'vitest'
import { bytesUsually, heapInUse, isCollected } from './memory.ts'

const user = new ContextVar<object>('user')
const limitBytes = 2_048
/** What a server's connection holds of its last request, 1.3 KB, and of its peer. */
const serverLimitBytes = 1_600
/** What a request in flight takes more than without a context, 1.6 KB. */
const inFlightLimitBytes = 1_800
/** What is not collected takes every try. */
const slow = { timeout: 30_000 }
/** What else the process does goes into the measure. */
const measured = { timeout: 60_000, retry: 2 }

describe('a server’s connection that is idle', () => {
  it('holds neither the values of the request it has brought nor the request', slow, async () => {
    const left: WeakRef<object>[] = []
    const app = await shop(true, (request) => {
      user.set(remembered(left))
      left.push(new WeakRef(request), new WeakRef(request.headers))
    })

    const socket = await ask(app.port)

    expect(left).toHaveLength(3)
    expect(await Promise.all(left.map(isCollected))).toEqual([true, true, true])
    expect(socket.destroyed).toBe(false)
  })

  it('retains them with a snapshot that is kept: the test can fail', slow, async () => {
    const values: WeakRef<object>[] = []
    const held: unknown[] = []
    const app = await shop(true, () => {
      user.set(remembered(values))
      held.push(current())
    })

    await ask(app.port)

    expect(await isCollected(values[0] as WeakRef<object>)).toBe(false)
    expect(held).toHaveLength(1)
  })

  it('holds at most 1.6 KB of the context', measured, async () => {
    const plain = await shop(false, () => {})
    const withContext = await shop(true, () => user.set(tenKilobytes()))

    const more = await bytesUsually(() =>
      bytesMore(
        () => ask(withContext.port),
        () => ask(plain.port),
        300,
      ),
    )

    expect(more).toBeLessThanOrEqual(serverLimitBytes)
  })
})

describe('a request in flight', () => {
  it('takes at most 1.8 KB more than without a context', measured, async () => {
    const gate = Promise.withResolvers<void>()
    const [plain, withContext] = [await shop(false, () => gate.promise), await shop(true, () => gate.promise)]

    const more = await bytesUsually(() =>
      bytesMore(
        () => send(withContext),
        () => send(plain),
        300,
      ),
    )
    gate.resolve()

    expect(more).toBeLessThanOrEqual(inFlightLimitBytes)
  })
})

/** Opens a connection that stays open, by a request to a server. */
type Client = (url: string) => Promise<Opened>

type Row<C = Client> = [name: string, client: C, serve?: () => Server]

/** Each call opens a connection of its own. */
const clients: Row[] = [
  ['an agent of node:http', byAgent],
  ['a pool of undici', (url) => byPool(new Pool(url))],
  ['a session of HTTP/2', byHttp2, () => createHttp2Server((_, reply) => reply.end('ok')) as never],
]
const otherClients: Row<(url: string) => Promise<unknown>>[] = [
  ['a pool of undici 7', (url) => byPool(new Pool7(url) as unknown as Pool)],
  ['fetch', async (url) => (await fetch(url)).text()],
]

describe('a client’s connection that is idle', () => {
  const serveHttp = () => createServer((_, reply) => reply.end('ok'))

  it.each([...clients, ...otherClients])(
    'does not hold the values of the unit that has opened it: %s',
    slow,
    async (_, client, serve) => {
      const url = await listening((serve ?? serveHttp)())
      const values: WeakRef<object>[] = []

      const held = await runInScope(() => {
        user.set(remembered(values))
        return client(url)
      })

      expect(await isCollected(values[0] as WeakRef<object>)).toBe(true)
      expect(held).toBeDefined()
    },
  )

  it.each(clients)('holds at most 2 KB of it: %s', measured, async (_, client, serve) => {
    const url = await listening((serve ?? serveHttp)())
    const inUnit = () =>
      runInScope(() => {
        user.set(tenKilobytes())
        return client(url)
      })

    const more = await bytesUsually(() => bytesMore(inUnit, () => client(url), 100))

    expect(more).toBeLessThanOrEqual(limitBytes)
  })
})

interface Shop {
  readonly port: number
  /** Resolves with the next request, when that is in its handler. */
  entered(): Promise<unknown>
}

async function shop(withContext: boolean, handle: (request: FastifyRequest) => unknown): Promise<Shop> {
  const app = Fastify({ forceCloseConnections: true })
  onTestFinished(() => app.close())
  if (withContext) await app.register(logicalContext)
  const handlers = new EventEmitter()
  app.get('/', async (request) => {
    handlers.emit('entered')
    await handle(request)
    return 'ok'
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  return { port: (app.server.address() as AddressInfo).port, entered: () => once(handlers, 'entered') }
}

/** Sends one request on a connection of its own, which stays open until the test ends. */
async function ask(port: number): Promise<Socket> {
  const socket = asking(port)
  await once(socket, 'data')
  return socket
}

/** The same, and waits for the handler only. */
async function send({ port, entered }: Shop): Promise<Socket> {
  const [socket] = [asking(port), await entered()]
  return socket
}

function asking(port: number): Socket {
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.write('GET / HTTP/1.1\r\nhost: shop\r\n\r\n')
  return socket
}

async function listening(server: Server): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections?.()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function byAgent(url: string): Promise<Agent> {
  const agent = new Agent({ keepAlive: true })
  onTestFinished(() => agent.destroy())
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  get(url, { agent }, (reply) => reply.resume().on('end', resolve)).on('error', reject)
  await promise
  return agent
}

async function byPool(pool: Pool): Promise<Pool> {
  onTestFinished(() => pool.destroy())
  const { body } = await pool.request({ path: '/', method: 'GET' })
  await body.text()
  return pool
}

async function byHttp2(url: string): Promise<Opened> {
  const session = connectHttp2(url)
  onTestFinished(() => session.destroy())
  const stream = session.request({ ':path': '/' }).resume()
  await once(stream, 'end')
  return session
}

/** What can be closed at once: a connection, or what has one. */
interface Opened {
  destroy(): unknown
}

/** How much more in bytes one that is opened the first way takes. */
async function bytesMore(
  open: () => Promise<Opened>,
  openPlain: () => Promise<Opened>,
  count: number,
): Promise<number> {
  const plain = await bytesOfEach(openPlain, count)
  return (await bytesOfEach(open, count)) - plain
}

/** Opens so many and closes them again. */
async function bytesOfEach(open: () => Promise<Opened>, count: number): Promise<number> {
  const others = openSockets()
  const opened: Opened[] = []
  const before = await heapInUse()
  for (let number = 0; number < count; number++) opened.push(await open())
  const bytes = ((await heapInUse()) - before) / count

  for (const each of opened) each.destroy()
  // What belongs to the sockets is released a little after their close.
  do await setTimeout(50)
  while (openSockets() > others)
  return bytes
}

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
}

function remembered(values: WeakRef<object>[]): object {
  const value = tenKilobytes()
  values.push(new WeakRef(value))
  return value
}

function tenKilobytes(): object {
  return { payload: Array.from({ length: 1_250 }, () => Math.random()) }
}
