import type { IncomingMessage } from 'node:http'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import { spawn } from 'logical-context'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { WebSocket } from 'ws'
import { Client } from '../middleware/shutdown-client.ts'

export type OnConnection = (socket: WebSocket, request: IncomingMessage) => unknown

/** A server of WebSockets that listens, with `onConnection` below the middleware. An upgrade waits for `admit`. */
export type ServeSockets = (
  onConnection: OnConnection,
  options: { drainTimeoutMs: number; admit: (request: IncomingMessage) => Promise<unknown> },
) => Promise<ServedSockets>

export interface ServedSockets {
  readonly port: number
  /** Closes it as its framework does. */
  close(): Promise<unknown>
}

/** A limit that only a close reaches whose wait never ends. */
const longMs = 20_000
const soonMs = 8000
const limitMs = 200
/** The limit and the second after it, and some for a machine that is busy. */
const limitIsOverMs = limitMs + 1000 + 4000
/** More than the buffers on both sides of a connection hold. */
const large = 'x'.repeat(16 * 1024 * 1024)

const upgrade = (path: string) =>
  [
    `GET ${path} HTTP/1.1`,
    'host: x',
    'connection: upgrade',
    'upgrade: websocket',
    'sec-websocket-version: 13',
    'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
    '',
    '',
  ].join('\r\n')

const text = 0x81
const firstPart = 0x01
const close = 0x88
const goingAwayCode = '\u0003\u00e9'
const goingAway = `\u0088\u0002${goingAwayCode}`

/** A frame of a client. Its mask of zeros leaves the payload as it is. RFC 6455, section 5.2 */
function frame(kind: number, payload: string): Buffer {
  return Buffer.concat([Buffer.from([kind, 0x80 | payload.length, 0, 0, 0, 0]), Buffer.from(payload, 'latin1')])
}

function onText(socket: WebSocket, listener: (said: string) => unknown): void {
  socket.on('message', (data: Buffer) => listener(data.toString()))
}

/** What the close of every server of WebSockets promises, in each state of a connection. */
export function describeWebSocketClose(name: string, serve: ServeSockets): void {
  const open = async (onConnection: OnConnection, drainTimeoutMs = longMs) => {
    const admitting = Promise.withResolvers<void>()
    const admit = async ({ url }: IncomingMessage) => {
      if (url !== '/waits') return
      admitting.resolve()
      await new Promise(() => {})
    }
    const served = await serve(onConnection, { drainTimeoutMs, admit })
    onTestFinished(() => void served.close())
    const dial = async (path?: string) => {
      const client = await Client.open(served.port)
      onTestFinished(() => void client.socket.destroy())
      if (path !== undefined) client.socket.write(upgrade(path))
      return client
    }
    return {
      dial,
      admitting: admitting.promise,
      connect: async () => {
        const client = await dial('/')
        await client.hears('101 Switching Protocols')
        return client
      },
      close: async () => {
        const startedAt = performance.now()
        await served.close()
        return performance.now() - startedAt
      },
    }
  }

  describe(`the close of ${name}`, () => {
    it('ends connections in every state, and has the code 1001 for clients', async () => {
      const heard: string[] = []
      const server = await open((socket) => {
        onText(socket, (said) => {
          heard.push(said)
          if (said === 'bye') socket.close(4000)
          else socket.send('first')
        })
      }, limitMs)
      const [answering, silent] = [answerTheClose(await server.connect()), await server.connect()]
      const [half, leaving] = [await server.connect(), await server.connect()]
      const [nothing, halfRequest, upgrading] = [await server.dial(), await server.dial(), await server.dial('/waits')]
      half.socket.write(Buffer.concat([frame(text, 'all'), frame(firstPart, 'half')]))
      leaving.socket.write(frame(text, 'bye'))
      halfRequest.socket.write(upgrade('/').slice(0, 40))
      await Promise.all([half.hears('first'), leaving.hears('\u0088\u0002'), server.admitting])

      expect(await server.close()).toBeLessThan(limitIsOverMs)
      const clients = [answering, silent, half, leaving, nothing, halfRequest, upgrading]
      await Promise.all(clients.map((client) => client.closed))
      expect([answering, silent, half].map((client) => client.heard.endsWith(goingAway))).toEqual([true, true, true])
      expect(heard.toSorted()).toEqual(['all', 'bye'])
    })

    it('waits for a running message and its task, and sends their replies', async () => {
      const [entered, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const server = await open((socket) => {
        onText(socket, async () => {
          entered.resolve()
          await go.promise
          socket.send('whole')
          spawn(async () => {
            await turn()
            socket.send('task')
          })
        })
      })
      const client = answerTheClose(await server.connect())
      client.socket.write(frame(text, 'ask'))
      await entered.promise

      const closed = server.close()
      for (let i = 0; i < 5; i++) await turn()
      go.resolve()
      await client.closed

      expect(client.heard).toMatch(new RegExp(`whole[^]*task[^]*${goingAway}$`))
      expect(await closed).toBeLessThan(soonMs)
    })

    it('answers all of many messages that it has received', async () => {
      const [all, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const numbers = Array.from({ length: 90 }, (_, index) => String(index))
      let received = 0
      const server = await open((socket) => {
        onText(socket, async (said) => {
          if (++received === numbers.length) all.resolve()
          await go.promise
          socket.send(`<${said}>`)
        })
      })
      const client = answerTheClose(await server.connect())
      client.socket.write(Buffer.concat(numbers.map((number) => frame(text, number))))
      await all.promise

      const closed = server.close()
      await turn()
      go.resolve()
      await client.closed

      expect(client.heard.match(/<\d+>/g)).toEqual(numbers.map((number) => `<${number}>`))
      expect(await closed).toBeLessThan(soonMs)
    })

    it('sends the whole of a large reply to a slow reader, also if another client closes at once', async () => {
      const server = await open((socket) => {
        onText(socket, () => socket.send(large))
      })
      const [client, other] = [await server.connect(), answerTheClose(await server.connect())]
      client.socket.write(frame(text, 'ask'))
      await client.hears('xxx')
      client.socket.pause()

      const closed = server.close()
      await other.closed
      // Longer than a client has for the answer to a close frame.
      await delay(550)
      answerTheClose(client).socket.resume()
      await client.closed

      expect(client.heard.endsWith(large + goingAway)).toBe(true)
      expect(await closed).toBeLessThan(soonMs)
    })

    it('ends at its limit, with a listener that never settles and a reader that never reads', async () => {
      const server = await open((socket) => {
        onText(socket, (said) => {
          if (said === 'send') socket.send(large)
          else socket.send('waits')
          return said === 'send' ? undefined : new Promise(() => {})
        })
      }, limitMs)
      const [reader, waiting] = [await server.connect(), await server.connect()]
      reader.socket.write(frame(text, 'send'))
      waiting.socket.write(frame(text, 'wait'))
      await Promise.all([reader.hears('xxx'), waiting.hears('waits')])
      reader.socket.pause()

      const elapsedMs = await server.close()

      reader.socket.resume()
      await Promise.all([reader.closed, waiting.closed])
      expect(elapsedMs).toBeGreaterThan(limitMs - 2)
      expect(elapsedMs).toBeLessThan(limitIsOverMs)
    })
  })
}

/** Answers the close frame, as clients do. */
function answerTheClose(client: Client): Client {
  client.socket.on('data', (chunk: string) => {
    if (chunk.endsWith(goingAway)) client.socket.write(frame(close, goingAwayCode))
  })
  return client
}
