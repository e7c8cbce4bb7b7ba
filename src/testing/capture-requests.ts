import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { outside } from '../context/current.ts'
import { checkFunction } from '../options.ts'

/** A request that code under test sent. */
export interface CapturedRequest {
  readonly method: string
  /** The path with its query. */
  readonly url: string
  /** By their names in lower case. */
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** What the server replies. */
export interface CapturedReply {
  /** Default: 200. */
  status?: number
  /** Default: the content type of JSON. */
  headers?: Record<string, string>
  /** Sent as JSON. Default: `{}`. */
  body?: unknown
}

/** A service that records what is sent to it. */
export interface CapturedRequests extends AsyncDisposable {
  /** Its address on 127.0.0.1, without a path. */
  readonly url: string
  /** The requests so far, in the order in which they were received completely. */
  readonly requests: readonly CapturedRequest[]
  /** Closes the server and its connections. A second call does nothing. */
  close(): Promise<void>
}

/**
 * Starts a server that records each request, to test what a client sends to another service. A failure of `reply` is
 * answered with the status 500.
 *
 * @throws {TypeError} if `reply` is not a function.
 */
export async function captureRequests(
  reply: (request: CapturedRequest) => CapturedReply | Promise<CapturedReply> = () => ({}),
): Promise<CapturedRequests> {
  checkFunction('captureRequests', reply)
  const requests: CapturedRequest[] = []
  const record = async (message: IncomingMessage): Promise<CapturedReply> => {
    const { method = '', url = '', headers } = message
    const request: CapturedRequest = { method, url, headers, body: await text(message) }
    requests.push(request)
    return reply(request)
  }
  const server = outside(() =>
    createServer((message, response) => {
      void record(message)
        .catch((error: unknown): CapturedReply => ({ status: 500, body: { message: String(error) } }))
        .then(({ status = 200, headers = { 'content-type': 'application/json' }, body = {} }) => {
          response.writeHead(status, headers).end(JSON.stringify(body))
        })
    }).listen(0, '127.0.0.1'),
  )
  await once(server, 'listening')
  const close = async () => {
    if (!server.listening) return
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, requests, close, [Symbol.asyncDispose]: close }
}
