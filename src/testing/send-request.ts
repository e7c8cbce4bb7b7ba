import { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { LogicalContext } from '../context/logical-context.ts'
import { anyOf, aString, type Check, checkArgument, type Checks, checkOptions, isRecord, show } from '../options.ts'
import { dropGivenValues, keepValues } from '../middleware/given-values.ts'

/** An app with the `inject` of Fastify. If its server listens over plain HTTP, the request goes over a socket. */
export interface InjectableApp {
  readonly server?: unknown
  inject(request: InjectedRequest): PromiseLike<InjectedResponse>
}

/** What `sendRequest` passes to the `inject` of an app. */
export interface InjectedRequest {
  readonly method: never
  readonly url: string
  readonly headers: Record<string, string>
  readonly payload?: string
}

/** What `sendRequest` reads from the result of `inject`. */
export interface InjectedResponse {
  readonly statusCode: number
  readonly headers: object
  readonly rawPayload: Uint8Array
}

/** A request that `sendRequest` sends. */
export interface TestRequest {
  /** The values that the unit of the request starts with. Default: none. */
  values?: LogicalContext
  /** The method. Default: `GET`, or `POST` with a body. */
  method?: string
  /** The path with its query. Default: `/`. */
  url?: string
  /** Header fields. Default: none. */
  headers?: Record<string, string>
  /** A text, or an object that is sent as JSON. Default: no body. */
  body?: string | object
}

const aContext: Check = anyOf('a LogicalContext', (value) => value instanceof LogicalContext)
const someHeaders: Check = anyOf('an object of texts by name', isRecord)
const aBody: Check = anyOf(
  'a text, or an object that is sent as JSON',
  (value) => typeof value === 'string' || Array.isArray(value) || (isRecord(value) && !isBinary(value)),
)
const checks: Checks = { values: aContext, method: aString, url: aString, headers: someHeaders, body: aBody }

/**
 * Sends a request through an app, and resolves with its response. The app is a Fastify instance, a server of `node:http`
 * that listens, or the address of a server in this process. The unit of the request starts with `values`, above what the
 * headers and the plugin's option `values` provide; a hook of the app can set them again.
 *
 * @throws {TypeError} if an argument is of the wrong type, if the server does not listen, or if no unit took the values.
 */
export async function sendRequest(
  app: InjectableApp | Server | URL | string,
  request?: TestRequest,
): Promise<Response> {
  const { values, url = '/', headers: own, body, ...rest } = checkOptions('sendRequest', request, checks)
  const { method = body === undefined ? 'GET' : 'POST' } = rest
  const isJson = typeof body === 'object'
  const headers: Record<string, string> = { ...(isJson && { 'content-type': 'application/json' }), ...own }
  const given = values === undefined ? {} : keepValues(values)
  const text = isJson ? JSON.stringify(body) : body
  const target = targetOf(app)
  let isTaken = false
  let response: Response
  try {
    const sent = { ...headers, ...given }
    const payload = text === undefined ? {} : { payload: text }
    response =
      typeof target === 'string'
        ? await fetch(new URL(url, target), { method, headers: sent, body: text ?? null })
        : responseOf(await target.inject({ method: method as never, url, headers: sent, ...payload }))
  } finally {
    isTaken = dropGivenValues(given)
  }
  if (values === undefined || isTaken) return response
  throw new TypeError(
    'sendRequest: expected an app of this process whose requests have a unit, got a reply from one that did not take ' +
      'the values. Register a middleware of logical-context.',
  )
}

/**
 * Returns the headers with which a request of any client starts its unit with the given values, in this process. Send them
 * with `supertest`, a WebSocket, or gRPC metadata. They stay valid until the process ends.
 *
 * @throws {TypeError} if `values` is not a `LogicalContext`.
 */
export function valueHeaders(values: LogicalContext): Record<string, string> {
  checkArgument('valueHeaders', aContext, values)
  return keepValues(values)
}

/** Bytes or a stream. Forms have no properties of their own, so they are not records. */
function isBinary(value: object): boolean {
  return ArrayBuffer.isView(value) || Symbol.asyncIterator in value
}

/** The address of a server that listens, else the app. */
function targetOf(app: unknown): string | InjectableApp {
  if (typeof app === 'string' && URL.canParse(app)) return app
  if (app instanceof URL) return app.href
  const { server, inject } = Object(app) as Partial<InjectableApp>
  const listening = [app, server].find((known) => known instanceof Server && known.listening)
  if (listening !== undefined) return addressOf(listening as Server)
  if (typeof inject === 'function') return app as InjectableApp
  throw new TypeError(
    `sendRequest: expected a Fastify app, an address, or a server of node:http that listens, got ${show(app)}.`,
  )
}

function addressOf(server: Server): string {
  const { port, address, family } = server.address() as AddressInfo
  const host = { '0.0.0.0': '127.0.0.1', '::': '127.0.0.1' }[address] ?? address
  return `http://${family === 'IPv6' && host === address ? `[${host}]` : host}:${port}`
}

function responseOf({ statusCode, headers, rawPayload }: InjectedResponse): Response {
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().map((line): [string, string] => [name, String(line)]),
  )
  const hasNoBody = [204, 205, 304].includes(statusCode)
  return new Response(hasNoBody ? null : new Uint8Array(rawPayload), { status: statusCode, headers: lines })
}
