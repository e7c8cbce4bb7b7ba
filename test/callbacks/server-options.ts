import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import express from 'express'
import { Hono } from 'hono'
import Koa from 'koa'
import { bind, ContextVar, spawn } from 'logical-context'
import { logicalContext as expressContext } from 'logical-context/middleware/express'
import { logicalContext as honoContext } from 'logical-context/middleware/hono'
import { logicalContext as koaContext } from 'logical-context/middleware/koa'
import { logicalContext as nodeContext, type NodeServerOptions } from 'logical-context/middleware/node-http'
import { logicalContext as websocketContext } from 'logical-context/middleware/websocket'
import { WebSocket, WebSocketServer } from 'ws'
import type { FunctionOption } from './options.ts'
import type { Reports } from './reports.ts'

const tenant = new ContextVar<string>('tenant')

type Serve = (options: NodeServerOptions, handle: () => unknown) => Server

const frameworks: Readonly<Record<string, Serve>> = {
  'node:http': (options, handle) =>
    createServer(
      nodeContext((_request, response) => {
        void handle()
        response.end('ok')
      }, options),
    ),
  Express(options, handle) {
    const app = express()
    app.use(expressContext(options))
    app.get('/', (_request, response) => {
      void handle()
      response.send('ok')
    })
    return createServer(app)
  },
  Koa(options, handle) {
    const app = new Koa()
    app.use(koaContext(options))
    app.use((ctx) => {
      void handle()
      ctx.body = 'ok'
    })
    const listener = app.callback()
    return createServer((request, response) => void listener(request, response))
  },
  Hono(options, handle) {
    const app = new Hono<{ Bindings: HttpBindings }>()
    app.use(honoContext(options))
    app.get('/', (c) => {
      void handle()
      return c.text('ok')
    })
    return createAdaptorServer({ fetch: app.fetch }) as Server
  },
}

/** The options of the middlewares for Node's servers, and of WebSockets. */
export const serverOptions: readonly FunctionOption[] = [
  ...Object.entries(frameworks).flatMap(([name, serve]) => optionsOf(name, (...args) => request(serve, ...args))),
  ...optionsOf('WebSockets', connect),
]

type Use = (reports: Reports, options: NodeServerOptions, handle?: () => unknown) => Promise<void>

function optionsOf(name: string, use: Use): FunctionOption[] {
  return [
    {
      name: `trust of ${name}`,
      mayBeAsync: false,
      // One on stderr, and the refusal of the peer.
      reports: 2,
      use: (trust, reports) => use(reports, { trust }),
    },
    {
      name: `onError of ${name}`,
      mayBeAsync: true,
      reports: 2,
      reportsAlso: /the task failed/,
      use: (onError, reports) => use(reports, { onError }, () => spawn(fail)),
    },
    { name: `onRefusal of ${name}`, mayBeAsync: true, use: (onRefusal, reports) => use(reports, { onRefusal }) },
    {
      name: `onLateUse of ${name}`,
      mayBeAsync: true,
      use: async (onLateUse, reports) => {
        const late: (() => void)[] = []
        await use(reports, { onLateUse }, () => late.push(lateRead()))
        for (const read of late) read()
      },
    },
    {
      name: `onDrained of ${name}`,
      mayBeAsync: true,
      // The log has it.
      use: (onDrained, reports) => use(reports, { onDrained }),
    },
  ]
}

/** Serves two requests on a real socket, and closes. */
async function request(serve: Serve, reports: Reports, options: NodeServerOptions, handle: () => unknown = () => {}) {
  const server = serve({ drainTimeoutMs: 200, logger: loggerOf(reports), ...options }, handle)
  const url = `http://127.0.0.1:${await listen(server)}/`
  const headers = { baggage: 'tenant=acme', 'x-request-id': 'not allowed' }
  try {
    for (const _ of [1, 2]) {
      const response = await fetch(url, { headers, signal: AbortSignal.timeout(2000) })
      expect(await response.text(), 'ok')
    }
    await turn()
  } finally {
    await closed((done) => server.close(done))
  }
}

/** Sends a message on each of two connections, and closes. */
async function connect(reports: Reports, options: NodeServerOptions, handle: () => unknown = () => {}) {
  const server = createServer()
  const sockets = new WebSocketServer({ server })
  websocketContext(sockets, { drainTimeoutMs: 200, logger: loggerOf(reports), ...options })
  sockets.on('connection', (socket: WebSocket, _request: IncomingMessage) => {
    socket.on('message', () => {
      void handle()
      socket.send('ok')
    })
  })
  const url = `ws://127.0.0.1:${await listen(server)}/`
  try {
    for (const _ of [1, 2]) {
      const client = new WebSocket(url, { headers: { baggage: 'tenant=acme', 'x-request-id': 'not allowed' } })
      await once(client, 'open')
      client.send('hi')
      const [answer] = (await once(client, 'message')) as [Buffer]
      expect(String(answer), 'ok')
      client.close()
      await once(client, 'close')
    }
    await turn()
  } finally {
    await closed((done) => sockets.close(done))
    server.close()
  }
}

function loggerOf({ lines }: Reports): NonNullable<NodeServerOptions['logger']> {
  const write = (fields: object, message: string) => {
    const { err } = fields as { err?: unknown }
    lines.push(`${message} ${err instanceof Error ? String(err.stack) : JSON.stringify(fields)}`)
  }
  return { info() {}, warn: write, error: write }
}

async function listen(server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

async function closed(close: (done: () => void) => void): Promise<void> {
  const ended = new Promise<string>((resolve) => close(() => resolve('closed')))
  expect(await Promise.race([ended, delay(2000, 'open')]), 'closed')
}

function fail(): never {
  throw new Error('the task failed')
}

/** A function of the current unit that reads a variable, for use after the unit's end. */
function lateRead(): () => void {
  return bind(() => void tenant.get())
}

function expect(value: unknown, expected: unknown): void {
  if (value !== expected) throw new Error(`expected ${String(expected)}, got ${String(value)}`)
}
