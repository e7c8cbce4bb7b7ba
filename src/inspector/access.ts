import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'
import { reportOnce } from '../callbacks.ts'

/** Whether a request may see the inspector. Anything but `true`, or a promise of it, refuses the request. */
export type Guard<Request> = (request: Request) => boolean | Promise<boolean>

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Headers that a proxy adds. Then the peer is the proxy, and the client can be anywhere. */
const proxyHeaders = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip']

/**
 * Whether a request comes from this machine, and names this machine: a page of another site can make a browser send
 * requests here under a name that its own DNS resolves to a loopback address.
 */
export function isLocal({ socket, headers }: IncomingMessage): boolean {
  if (!isLoopback(socket.remoteAddress ?? '')) return false
  if (proxyHeaders.some((name) => headers[name] !== undefined)) return false
  const host = headers.host ?? headers[':authority']
  return typeof host === 'string' && isLoopbackHost(host)
}

/** Calls the guard. Its failure refuses the request, and is logged once. */
export async function isAdmitted<Request>(guard: Guard<Request>, request: Request): Promise<boolean> {
  try {
    const answer: unknown = await guard(request)
    return answer === true
  } catch (error) {
    reportOnce(guard, "inspector: option 'guard'", error)
    return false
  }
}

function isLoopback(address: string): boolean {
  const family = isIP(address)
  return family !== 0 && loopback.check(address, family === 6 ? 'ipv6' : 'ipv4')
}

function isLoopbackHost(host: string): boolean {
  const hostname = URL.parse(`http://${host}`)?.hostname ?? ''
  if (hostname === 'localhost' || hostname.endsWith('.localhost')) return true
  return isLoopback(hostname.replace(/^\[|\]$/g, ''))
}
