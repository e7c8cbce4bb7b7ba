import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import websocket from '@fastify/websocket'
import express from 'express'
import Fastify from 'fastify'
import { logicalContext as expressContext } from 'logical-context/middleware/express'
import fastifyContext from 'logical-context/middleware/fastify'
import { logicalContext } from 'logical-context/middleware/websocket'
import { type ServerOptions, WebSocketServer } from 'ws'
import { closeOf, listen, silent } from '../contracts/node-server.ts'
import { describeWebSocketClose, type ServeSockets } from '../contracts/websocket-close.ts'

type Admit = Parameters<ServeSockets>[1]['admit']

function verifying(admit: Admit): ServerOptions {
  return { verifyClient: ({ req }, answer) => void admit(req).then(() => answer(true)) }
}

describeWebSocketClose('a WebSocketServer with a port', async (onConnection, { admit, drainTimeoutMs }) => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, ...verifying(admit) })
  logicalContext(server, { logger: silent, drainTimeoutMs })
  server.on('connection', onConnection)
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, close: () => new Promise((resolve) => server.close(resolve)) }
})

describeWebSocketClose('a server of Express with WebSockets', async (onConnection, { admit, drainTimeoutMs }) => {
  const context = expressContext({ logger: silent, drainTimeoutMs })
  const http = await listen(context.drainAtClose(createServer(express().use(context))))
  const server = new WebSocketServer({ server: http, ...verifying(admit) })
  logicalContext(server, { logger: silent, inbound: context.inbound, drainTimeoutMs })
  server.on('connection', onConnection)
  return { port: (http.address() as AddressInfo).port, close: () => closeOf(http) }
})

describeWebSocketClose('two middlewares that share a server only', async (onConnection, { admit, drainTimeoutMs }) => {
  const context = expressContext({ logger: silent, drainTimeoutMs })
  const http = await listen(context.drainAtClose(createServer(express().use(context))))
  const server = new WebSocketServer({ noServer: true, ...verifying(admit) })
  logicalContext(server, { logger: silent, drainTimeoutMs })
  http.on('upgrade', (request, socket, head) => {
    server.handleUpgrade(request, socket, head, (client) => server.emit('connection', client, request))
  })
  server.on('connection', onConnection)
  return { port: (http.address() as AddressInfo).port, close: () => closeOf(http) }
})

describeWebSocketClose('@fastify/websocket', async (onConnection, { admit, drainTimeoutMs }) => {
  const app = Fastify()
  await app.register(fastifyContext, { drainTimeoutMs })
  await app.register(websocket)
  logicalContext(app.websocketServer, { logger: silent, drainTimeoutMs })
  app.addHook('onRequest', async ({ raw }) => void (await admit(raw)))
  app.get('/waits', { websocket: true }, () => {})
  app.get('/', { websocket: true }, (socket, { raw }) => void onConnection(socket, raw))
  await app.listen({ host: '127.0.0.1', port: 0 })
  return { port: (app.server.address() as AddressInfo).port, close: () => app.close() }
})
