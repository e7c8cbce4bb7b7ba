import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { checkOptions } from '../options.ts'
import type { Carrier } from '../propagators/carrier.ts'
import { callContext } from './call-context.ts'
import { atDeadline } from './deadline.ts'
import { type Target, targetOf } from './destinations.ts'
import { Outbound, outboundChecks, type OutboundOptions } from './outbound.ts'

export interface NodeHttpInstrumentation extends Disposable {
  /** Ends it: requests that are made from then on are left alone. */
  stop(): void
  /** What could not go out, counted. */
  readonly outbound: Outbound
}

/** Published by Node in the constructor of each request, and so in the context of whoever makes it. */
const channel = 'http.client.request.created'
/** No port of a rule. */
const unknownPort = '?'

/**
 * From here on every request of this process through `node:http` and `node:https`, those of axios, got and their like
 * too, tells the callee of its caller's context: trace and request id, and values to the hosts on a list. A header that
 * is set already stays. A request is destroyed with a `TimeoutError` when its caller's deadline is over.
 *
 * What follows redirects by a request each tells each host what it may know. Requests whose headers are an array, or
 * hold `expect`, are written by Node at once: they tell nothing, which is counted.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type, and for what is no host.
 */
export function instrumentNodeHttp(options?: OutboundOptions): NodeHttpInstrumentation {
  checkOptions('instrumentNodeHttp', options, outboundChecks)
  const outbound = new Outbound('instrumentNodeHttp', options)

  function onCreated(message: unknown): void {
    const { request } = message as { request: ClientRequest }
    // What opens a tunnel is for the proxy, not for the host at the tunnel's end.
    if (request.method === 'CONNECT') return
    const context = callContext()
    outbound.inject(context, new RequestCarrier(request), targetOfRequest(request))
    const { method, protocol, host, path } = request
    const call = () => `${method} ${protocol}//${host}${path.split('?', 1)[0]}`
    const forget = atDeadline(context, call, (reason) => abort(request, reason))
    if (forget !== undefined) request.once('close', forget)
  }
  subscribe(channel, onCreated)
  const stop = () => void unsubscribe(channel, onCreated)
  return { stop, outbound, [Symbol.dispose]: stop }
}

function abort(request: ClientRequest, reason: Error): void {
  const { res: response } = request as { res?: IncomingMessage | null }
  if (!response) {
    request.destroy(reason)
    return
  }
  // Who has the response may have stopped listening to the request; an error there would end the process.
  request.once('error', () => {})
  response.destroy(reason)
}

/**
 * Where a request goes, or null where that is not clear: to a socket file, or to a proxy, which wants whole URLs for
 * paths. Of the `Host` header, which may say anything, only the port is believed, and only with the right host.
 */
function targetOfRequest(request: ClientRequest): Target | null {
  const { socketPath } = request as { socketPath?: string }
  if (socketPath !== undefined || !request.path.startsWith('/')) return null
  const target = targetOf(request.protocol, request.host, unknownPort)
  const said = URL.parse(`${request.protocol}//${String(request.getHeader('host'))}`)
  return target !== null && said?.hostname === target.hostname ? { ...target, port: said.port } : target
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
