import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'

/** A request as the upstream received it. */
export interface Received {
  method: string
  host: string
  path: string
  headers: IncomingHttpHeaders
  /** All lines of a header. */
  lines: (name: string) => string[]
  body: string
}

export interface Upstream {
  /** `http://127.0.0.1:port` */
  url: string
  port: number
  received: Received[]
}

type Reply = (request: Received, response: ServerResponse) => void

/** Starts a server on loopback that closes with the test. By default it replies with the headers of the request. */
export async function upstream(reply: Reply = replyWithHeaders): Promise<Upstream> {
  const received: Received[] = []
  const server = createServer((message, response) => {
    void readRequest(message).then((request) => {
      received.push(request)
      reply(request, response)
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, received }
}

/** Also for other kinds of servers. */
export async function readRequest(message: IncomingMessage): Promise<Received> {
  const { method = '', url = '', headers, rawHeaders } = message
  return {
    method,
    host: headers.host ?? '',
    path: url,
    headers,
    lines: (name) => rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name),
    body: (await buffer(message)).toString(),
  }
}

export function replyWithHeaders(request: Received, response: ServerResponse): void {
  response.setHeader('content-type', 'application/json').end(JSON.stringify(request.headers))
}
