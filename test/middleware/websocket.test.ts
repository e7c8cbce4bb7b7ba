import { once } from 'node:events'
import { createServer, type IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import websocket from '@fastify/websocket'
import express from 'express'
import Fastify from 'fastify'
import { ContextVar, currentSignal, type RequestScope, spawn } from 'logical-context'
import { logicalContext as expressContext } from 'logical-context/middleware/express'
import fastifyContext from 'logical-context/middleware/fastify'
import defaultExport, {
  type CloseReport,
  logicalContext,
  type WebSocketOptions,
} from 'logical-context/middleware/websocket'
import { requestId } from 'logical-context/variables'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { createWebSocketStream, type MessageEvent, WebSocket, WebSocketServer } from 'ws'
import { closeOf, listen, silent, urlOf } from '../contracts/node-server.ts'
import { Client } from './shutdown-client.ts'

const user = new ContextVar<string>('user')

type OnConnection = (socket: WebSocket, request: IncomingMessage) => unknown

/** A server with one way to handle connections. */
function serve(onConnection: OnConnection, options?: WebSocketOptions) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  const reports: CloseReport[] = []
  const { inbound } = logicalContext(server, {
    logger: silent,
    onDrained: (report) => void reports.push(report),
    ...options,
  })
  server.on('connection', onConnection)
  onTestFinished(() => server.close())
  const close = () => new Promise((resolve) => server.close(resolve))
  return { server, inbound, reports, close, port: () => portOf(server) }
}

async function portOf(server: WebSocketServer): Promise<number> {
  if (server.address() === null) await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function dial(port: number, headers: Record<string, string> = {}): Promise<WebSocket> {
  const client = new WebSocket(`ws://127.0.0.1:${port}/`, { headers })
  onTestFinished(() => client.terminate())
  await once(client, 'open')
  return client
}

function onMessage(socket: WebSocket, listener: (text: string) => unknown): void {
  socket.on('message', (data: Buffer) => listener(data.toString()))
}

async function heard(client: WebSocket): Promise<string> {
  const [data] = (await once(client, 'message')) as [Buffer]
  return data.toString()
}

describe('logicalContext of middleware/websocket', () => {
  it('is the default export too', () => {
    expect(defaultExport).toBe(logicalContext)
  })

  it('makes each message a unit of its own, which begins with the values of the connection', async () => {
    const { port } = serve((socket, request) => {
      user.set(String(request.headers['x-user']))
      onMessage(socket, async (text) => {
        const before = user.get()
        user.set(`${before}+${text}`)
        await delay(1)
        socket.send(`${before} ${user.get()} ${requestId.get()}`)
      })
    })
    const client = await dial(await port(), { 'x-user': 'ann', 'x-request-id': 'r-1' })

    client.send('1')
    const first = await heard(client)
    client.send('2')
    const second = await heard(client)

    expect([first, second]).toEqual(['ann ann+1 r-1', 'ann ann+2 r-1'])
  })

  it('makes messages a part of the unit of their connection with the policy share', async () => {
    const { port } = serve(
      (socket) => {
        onMessage(socket, (text) => {
          user.set(`${user.get() ?? ''}${text}`)
          socket.send(user.get() ?? '')
        })
      },
      { messagePolicy: 'share' },
    )
    const client = await dial(await port())

    client.send('1')
    await heard(client)
    client.send('2')

    expect(await heard(client)).toBe('12')
  })

  it('keeps connections apart, and runs all their events in their units', async () => {
    const seen: string[] = []
    const { port } = serve((socket, request) => {
      const name = String(request.headers['x-user'])
      user.set(name)
      socket.on('ping', () => seen.push(`${name} ping ${user.get()}`))
      socket.addEventListener('message', () => seen.push(`${name} message ${user.get()}`))
      socket.once('close', () => seen.push(`${name} close ${user.get()}`))
    })
    const clients = await Promise.all(['ann', 'bob'].map(async (name) => dial(await port(), { 'x-user': name })))

    for (const client of clients) {
      client.ping()
      client.send('')
      client.close()
    }

    await expect
      .poll(() => seen.toSorted())
      .toEqual(
        ['ann', 'bob'].flatMap((name) => [`${name} close ${name}`, `${name} message ${name}`, `${name} ping ${name}`]),
      )
  })

  it.each<[name: string, add: (socket: WebSocket, listener: (event: MessageEvent) => unknown) => void]>([
    ['addEventListener', (socket, listener) => socket.addEventListener('message', listener)],
    ['addEventListener, once', (socket, listener) => socket.addEventListener('message', listener, { once: true })],
    [
      'addEventListener with an object',
      (socket, listener) => socket.addEventListener('message', { handleEvent: listener }),
    ],
    ['onmessage', (socket, listener) => Object.assign(socket, { onmessage: listener })],
  ])('waits for an async listener that was added by %s, and reports its failure', async (_name, add) => {
    const failed = vi.fn<(...args: unknown[]) => void>()
    const listener = async ({ target }: MessageEvent) => {
      await delay(1)
      target.send(user.get() ?? 'nothing')
      throw new Error('no')
    }
    const { port } = serve(
      (socket) => {
        user.set('ann')
        add(socket, listener)
      },
      { onError: (error) => failed(user.get(), String(error)) },
    )
    const client = await dial(await port())

    client.send('')

    expect(await heard(client)).toBe('ann')
    await expect.poll(() => failed.mock.calls).toEqual([['ann', 'Error: no']])
  })

  it('keeps the listeners of ws as they were added', async () => {
    const { port } = serve((socket) => {
      const listener = vi.fn<(event: MessageEvent) => void>()
      socket.addEventListener('message', listener)
      socket.addEventListener('message', listener)
      Object.assign(socket, { onmessage: listener })
      const counts = [socket.listenerCount('message')]
      const isKept = socket.onmessage === listener
      socket.removeEventListener('message', listener)
      counts.push(socket.listenerCount('message'))
      Object.assign(socket, { onmessage: null })
      socket.send(JSON.stringify([isKept, ...counts, socket.listenerCount('message')]))
    })
    const client = new WebSocket(`ws://127.0.0.1:${await port()}/`)
    onTestFinished(() => client.terminate())

    expect(await heard(client)).toBe('[true,2,1,0]')
  })

  it.each<[name: string, fail: () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    ['rejects', async () => Promise.reject(new Error('no'))],
  ])(
    'reports a listener that %s to onError, with the context of its message, and serves the next',
    async (_name, fail) => {
      const failures: unknown[] = []
      const { port } = serve(
        (socket) => {
          user.set('ann')
          onMessage(socket, (text) => (text === 'fail' ? fail() : socket.send('ok')))
        },
        { onError: (error, { name }) => void failures.push((error as Error).message, name, user.get()) },
      )
      const client = await dial(await port())

      client.send('fail')
      client.send('next')

      expect(await heard(client)).toBe('ok')
      expect(failures).toEqual(['no', 'message', 'ann'])
    },
  )

  it('reports a failure of a listener for connections and for their close', async () => {
    const failures: unknown[] = []
    const { port } = serve(
      async (socket) => {
        user.set('ann')
        const fail: () => unknown = async () => {
          for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
          throw new Error('close')
        }
        socket.on('close', fail)
        throw new Error('connection')
      },
      { onError: (error) => void failures.push(`${(error as Error).message} of ${user.get()}`) },
    )

    ;(await dial(await port())).close()

    await expect.poll(() => failures).toEqual(['connection of ann', 'close of ann'])
  })

  it('logs a frame that breaks the protocol, and does not end the process', async () => {
    const warn = vi.fn()
    const { port } = serve(() => {}, { logger: { ...silent, warn } })
    const client = await dial(await port())

    ;(client as unknown as { _socket: { write(data: Buffer): void } })['_socket'].write(Buffer.from([0xff, 0xff]))

    await once(client, 'close')
    await expect.poll(() => warn.mock.calls).toEqual([[{ err: expect.any(Error) }, 'a WebSocket failed']])
  })

  it('ends the unit of a connection with it: aborts its signal, and drops its values', async () => {
    let scope: RequestScope | undefined
    const { port } = serve((_socket, request) => {
      scope = request.requestScope
      user.set('ann')
    })

    ;(await dial(await port())).terminate()

    await expect.poll(() => scope?.sealed).toBe(true)
    expect(scope?.signal.reason).toMatchObject({ code: 'LCTX_CLIENT_GONE' })
    expect(scope?.context.has(user)).toBe(false)
  })

  it('aborts the signals of running messages at the end of their connection, which is not a failure', async () => {
    const began = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<unknown>()
    const onError = vi.fn()
    const { port } = serve(
      (socket) => {
        onMessage(socket, async () => {
          began.resolve()
          await delay(60_000, undefined, { signal: currentSignal() as AbortSignal }).catch((error: unknown) => {
            ended.resolve(currentSignal()?.reason)
            throw error
          })
        })
      },
      { onError },
    )
    const client = await dial(await port())
    client.send('')
    await began.promise

    client.terminate()

    expect(await ended.promise).toMatchObject({ code: 'LCTX_CLIENT_GONE' })
    expect(onError).not.toHaveBeenCalled()
  })

  it('has the values where a stream around the socket ends', async () => {
    const ended = Promise.withResolvers<unknown>()
    const { port } = serve((socket) => {
      user.set('ann')
      createWebSocketStream(socket)
        .on('end', () => ended.resolve(user.get()))
        .resume()
    })
    const client = await dial(await port())

    client.close()

    expect(await ended.promise).toBe('ann')
  })

  it('keeps the values of a connection for its listeners that have not ended', async () => {
    const [entered, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const seen: unknown[] = []
    const { port } = serve(
      (socket) => {
        user.set('ann')
        onMessage(socket, async () => {
          entered.resolve()
          await go.promise
          seen.push(user.get())
        })
        socket.on('close', () => setImmediate(go.resolve))
      },
      { messagePolicy: 'share' },
    )
    const client = await dial(await port())

    client.send('')
    await entered.promise
    client.terminate()

    await expect.poll(() => seen).toEqual(['ann'])
  })

  it('waits for running messages and their tasks at the close, and drops new messages', async () => {
    const [entered, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const order: string[] = []
    const { port, close, reports, server } = serve((socket) => {
      onMessage(socket, async (text) => {
        order.push(text)
        entered.resolve()
        await go.promise
        spawn(async () => {
          await delay(10)
          order.push('task')
        })
        socket.send('reply')
      })
    })
    const client = await dial(await port())
    const goodbye = once(client, 'close')
    client.send('first')
    await entered.promise

    const closed = close().then(() => order.push('closed'))
    client.send('late')
    const [socket] = server.clients
    await once(socket as unknown as WebSocket, 'message', { signal: AbortSignal.timeout(50) }).catch(() => {})
    go.resolve()

    expect(await heard(client)).toBe('reply')
    expect(await goodbye).toEqual([1001, Buffer.from('')])
    await closed
    expect(order).toEqual(['first', 'task', 'closed'])
    expect(reports.map(({ finished }) => finished)).toEqual([2])
  })

  it('aborts at the limit what has not ended, and ends the sockets', async () => {
    const { port, close, reports } = serve(
      (socket) => {
        onMessage(socket, () => new Promise(() => {}))
        socket.on('close', () => {})
      },
      { drainTimeoutMs: 50 },
    )
    const client = await dial(await port())
    client.pause()
    client.send('')
    await delay(20)

    const startedAt = performance.now()
    await close()

    expect(performance.now() - startedAt).toBeLessThan(50 + 1000 + 1000)
    expect(reports.map(({ unfinished }) => unfinished.map(({ name }) => name))).toEqual([['message']])
  })

  it('refuses a wrong server, a second registration and wrong options', () => {
    const { server } = serve(() => {})
    expect(() => logicalContext(server)).toThrow(/registered already/)
    expect(() => logicalContext({} as never)).toThrow(/expected a WebSocketServer of 'ws'/)
    expect(() => logicalContext(new WebSocketServer({ noServer: true }), { messagePolicy: 'no' as never })).toThrow(
      TypeError,
    )
  })

  it('is drained by the close of the HTTP server that it shares with Express', async () => {
    const [entered, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const app = express()
    const context = expressContext({ logger: silent })
    app.use(context)
    const http = await listen(context.drainAtClose(createServer(app)))
    const server = new WebSocketServer({ server: http })
    logicalContext(server, { inbound: context.inbound })
    server.on('connection', (socket) => {
      onMessage(socket, async () => {
        entered.resolve()
        await go.promise
        socket.send('reply')
      })
    })
    const client = await dial((http.address() as AddressInfo).port)
    const goodbye = once(client, 'close')
    client.send('')
    await entered.promise

    const closed = closeOf(http)
    // Longer than a close waits for a connection without a request.
    await delay(700)
    go.resolve()

    expect(await heard(client)).toBe('reply')
    expect((await goodbye)[0]).toBe(1001)
    await closed
  })

  it('ends a connection whose upgrade is complete after its sockets are closed, while a request still runs', async () => {
    const [entered, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const context = expressContext({ logger: silent })
    const app = express().use(context, async (_request, response) => {
      entered.resolve()
      await go.promise
      response.send('ok')
    })
    const http = await listen(context.drainAtClose(createServer(app)))
    const { inbound } = logicalContext(new WebSocketServer({ server: http }), { logger: silent })
    const { port } = http.address() as AddressInfo
    const [client, late, asking] = [await dial(port), await Client.open(port), await Client.open(port)]
    const goodbye = once(client, 'close')
    const request = [
      'GET / HTTP/1.1\r\nhost: x',
      'connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13',
      'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    ]
    late.socket.write(request[0] as string)
    asking.ask('/')
    await entered.promise

    const closed = closeOf(http)
    await goodbye
    await vi.waitUntil(() => inbound.group.closed)
    late.socket.write(
      request
        .slice(1)
        .map((line) => `\r\n${line}`)
        .join(''),
    )
    await late.closed
    go.resolve()

    await closed
    expect(asking.heard).toContain('200 OK')
  })

  it('ends an upgrade in progress at the close of its HTTP server, also before the first connection', async () => {
    const http = await listen(createServer())
    const verifying = Promise.withResolvers<void>()
    const verifyClient = (_info: unknown, _answer: unknown) => verifying.resolve()
    const server = new WebSocketServer({ noServer: true, verifyClient })
    logicalContext(server, { logger: silent })
    http.on('upgrade', (request, connection, head) => server.handleUpgrade(request, connection, head, () => {}))
    const client = new WebSocket(urlOf(http))
    const ended = once(client, 'error')
    await verifying.promise

    await closeOf(http)
    expect(await ended).toMatchObject([{ message: 'socket hang up' }])
  })

  it('receives messages again if its HTTP server starts again after a close', async () => {
    const http = await listen(createServer())
    const server = new WebSocketServer({ server: http })
    logicalContext(server, { logger: silent })
    server.on('connection', (socket) => onMessage(socket, (text) => socket.send(text)))
    onTestFinished(() => closeOf(http))
    await dial((http.address() as AddressInfo).port)
    await closeOf(http)
    await listen(http)
    const client = await dial((http.address() as AddressInfo).port)

    client.send('again')

    expect(await heard(client)).toBe('again')
  })

  it('closes a socket in a timer also after a restart, if a middleware of HTTP receives the upgrades', async () => {
    const context = expressContext({ logger: silent })
    const http = await listen(context.drainAtClose(createServer()))
    const server = new WebSocketServer({ noServer: true })
    logicalContext(server, { inbound: context.inbound })
    http.on('upgrade', (request, connection, head) => {
      const response = new ServerResponse(request)
      response.assignSocket(connection as Socket)
      context(request, response, () => {
        server.handleUpgrade(request, connection, head, (socket) => server.emit('connection', socket, request))
      })
    })
    onTestFinished(() => closeOf(http))
    await closeOf(http)
    await listen(http)
    const client = await dial((http.address() as AddressInfo).port)

    for (const socket of server.clients) socket.close()

    expect((await once(client, 'close'))[0]).toBe(1005)
  })

  it('serves a connection of injectWS', async () => {
    const app = Fastify()
    await app.register(fastifyContext)
    await app.register(websocket)
    logicalContext(app.websocketServer, { logger: silent })
    app.get('/', { websocket: true }, (socket) => onMessage(socket, () => socket.send(requestId.get() ?? 'none')))
    onTestFinished(() => app.close())
    await app.ready()
    const client = await app.injectWS('/', { headers: { 'x-request-id': 'r-1' } })

    client.send('')

    expect(await heard(client as never)).toMatch(/^[\da-f-]{36}$/)
    client.terminate()
  })

  it('uses the unit of the request under @fastify/websocket', async () => {
    const failures: unknown[] = []
    const app = Fastify()
    await app.register(fastifyContext, {
      onError: (error) => void failures.push((error as Error).message, user.get()),
    })
    await app.register(websocket)
    logicalContext(app.websocketServer, { logger: silent })
    app.addHook('onRequest', async (request) => user.set(String(request.headers['x-user'])))
    app.get('/', { websocket: true }, (socket) => {
      onMessage(socket, async (text) => {
        if (text === 'fail') throw new Error('no')
        await delay(1)
        socket.send(`${user.get()} ${requestId.get()}`)
      })
    })
    await app.listen({ host: '127.0.0.1', port: 0 })
    onTestFinished(() => app.close())
    const client = await dial((app.server.address() as AddressInfo).port, { 'x-user': 'ann', 'x-request-id': 'r-1' })
    const goodbye = once(client, 'close')

    client.send('fail')
    client.send('next')

    expect(await heard(client)).toBe('ann r-1')
    expect(failures).toEqual(['no', 'ann'])
    await app.close()
    await goodbye
  })
})
