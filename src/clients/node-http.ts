import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Carrier } from '../propagators/carrier.ts'
import { atDeadline, callContext } from './call-deadline.ts'
import { type Target, targetOf } from './destinations.ts'
import { Outbound } from './outbound.ts'
import type { OutboundOptions } from './outbound-options.ts'
import { startCall } from './start-call.ts'

/** What `instrumentNodeHttp` installed. */
export interface NodeHttpInstrumentation extends Disposable {
  /** Stops the instrumentation; later requests are not changed. A second call does nothing. */
  stop(): void
  /** Counts the fields that were not sent. */
  readonly outbound: Outbound
}

/** Node publishes it in the constructor of each request, and so in the context of the caller. */
const channel = 'http.client.request.created'
/** Matches no rule with a port. */
const unknownPort = '?'

/**
 * Writes the caller's context into the headers of every request of this process that uses `node:http` or `node:https`,
 * also through axios, got and other libraries: trace and request id, and values for the listed hosts. A header that is
 * already set stays. A request is destroyed with a `TimeoutError` at its caller's deadline.
 *
 * A client that makes one request for each redirect sends each host what that host may receive. Node writes a request
 * at once if its headers are an array or contain `expect`: such a request gets no headers, and the refusal is counted.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type, or a host is invalid.
 */
export function instrumentNodeHttp(options?: OutboundOptions): NodeHttpInstrumentation {
  const outbound = new Outbound('instrumentNodeHttp', options)

  function onCreated(message: unknown): void {
    const { request } = message as { request: ClientRequest }
    // The headers of a CONNECT go to the proxy, not to the host at the end of the tunnel.
    if (request.method === 'CONNECT') return
    const context = callContext()
    outbound.inject(context, new RequestCarrier(request), targetOfRequest(request))
    const { method, protocol, host, path } = request
    const call = () => `${method} ${protocol}//${host}${path.split('?', 1)[0]}`
    const clear = atDeadline(context, call, (reason) => abort(request, reason))
    if (clear !== undefined) request.once('close', clear)
    const end = startCall('instrumentNodeHttp', call)
    if (end !== undefined) {
      request.once('close', () => {
        const status = responseOf(request)?.statusCode
        end(status, status === undefined ? (request.errored ?? new Error('The connection closed.')) : undefined)
      })
    }
  }
  subscribe(channel, onCreated)
  const stop = () => void unsubscribe(channel, onCreated)
  return { stop, outbound, [Symbol.dispose]: stop }
}

function abort(request: ClientRequest, reason: Error): void {
  const response = responseOf(request)
  if (!response) {
    request.destroy(reason)
    return
  }
  // Code that has the response may no longer listen to the request; an error there would end the process.
  request.once('error', () => {})
  response.destroy(reason)
}

/** Node sets it, and does not declare it. */
function responseOf(request: ClientRequest): IncomingMessage | null | undefined {
  return (request as { res?: IncomingMessage | null }).res
}

/**
 * The destination of a request; null if it is unknown: a socket file, or a proxy, to which a request has a URL as its
 * path. Of the `Host` header, which may contain anything, only the port counts, and only if the host is the right one.
 */
function targetOfRequest(request: ClientRequest): Target | null {
  const { socketPath } = request as { socketPath?: string }
  if (socketPath !== undefined || !request.path.startsWith('/')) return null
  const target = targetOf(request.protocol, request.host, unknownPort)
  const host = URL.parse(`${request.protocol}//${String(request.getHeader('host'))}`)
  return target !== null && host?.hostname === target.hostname ? { ...target, port: host.port } : target
}

class RequestCarrier implements Carrier {
  readonly #request: ClientRequest

  constructor(request: ClientRequest) {
    this.#request = request
  }

  get(name: string): string | undefined {
    const value = this.#request.getHeader(name)
    return Array.isArray(value) ? value.join(', ') : value?.toString()
  }

  has(name: string): boolean {
    return this.#request.hasHeader(name)
  }

  set(name: string, value: string): void {
    this.#request.setHeader(name, value)
  }
}
