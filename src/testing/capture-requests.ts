import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { outside } from '../context/current.ts'
import { anything, checkFunction, type Checks, checkOptions } from '../options.ts'

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
  /** The status. Default: 200. */
  status?: number
  /** Header fields. Default: the content type of JSON. */
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

const checks: Checks = { status: anything, headers: anything, body: anything }
const json = { 'content-type': 'application/json' }

/**
 * Starts a server that records each request, to test what a client sends to another service. A failure of `reply`, and a
 * reply that cannot be sent, are answered with the status 500 and the message of the error.
 *
 * @throws {TypeError} if `reply` is not a function.
 */
export async function captureRequests(
  reply: (request: CapturedRequest) => CapturedReply | Promise<CapturedReply> = () => ({}),
): Promise<CapturedRequests> {
  checkFunction('captureRequests', reply)
  const requests: CapturedRequest[] = []
  const answer = async (message: IncomingMessage): Promise<CapturedReply> => {
    const { method = '', url = '', headers } = message
    const request: CapturedRequest = { method, url, headers, body: await text(message) }
    requests.push(request)
    return checkOptions('captureRequests: a reply', await reply(request), checks)
  }
  const send = (response: ServerResponse, { status = 200, headers = json, body = {} }: CapturedReply) => {
    const content = JSON.stringify(body)
    response.writeHead(status, headers).end(content)
  }
  const server = outside(() =>
    createServer((message, response) => {
      void answer(message)
        .then((captured) => send(response, captured))
        .catch((error: unknown) => send(response, { status: 500, body: { message: String(error) } }))
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
