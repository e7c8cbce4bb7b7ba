import { subscribe } from 'node:diagnostics_channel'
import { isIP } from 'node:net'

/** A header: its name in lower case, and its value. */
export type WrittenField = readonly [name: string, value: string]

/** The headers that a client wrote for a call. */
export interface WrittenFields {
  readonly all: readonly WrittenField[]
  /** Those that other hosts may not receive. */
  readonly confidential: readonly WrittenField[]
}

interface GuardedCall extends WrittenFields {
  readonly origin: string
}

/** A request of undici, and so of the built-in `fetch`, before anything of it is sent. */
interface UndiciRequest {
  /** The origin that the connection goes to, whatever origin the call named. */
  readonly origin: string
  /** A whole URL for a plain HTTP proxy. */
  readonly path: string
  /** The `Host` header, if the call set one. */
  readonly host: string | null
  /** Alternating names and values. */
  readonly headers: unknown[]
}

/** For a dispatcher whose origin the program sets: it may have several addresses. */
export const anyOrigin = '*'

/** The calls under way by the path of their URL. undici does not say which call a request belongs to. */
const calls = new Map<string, Set<GuardedCall>>()
let isSubscribed = false

/**
 * Removes the confidential headers of a call from its request if the connection goes elsewhere: to a `Pool` of another
 * host, or to a plain HTTP proxy, which could read them. Through a tunnel, the connection goes to the origin itself.
 * Returns a function that ends the guard, for the end of the call.
 */
export function guardOrigin(path: string, origin: string, written: WrittenFields): (() => void) | undefined {
  // Calls without confidential headers count too: they show that an equal header of another call may go to their host.
  if (written.all.length === 0 || (written.confidential.length === 0 && !isSubscribed)) return undefined
  if (!isSubscribed) subscribe('undici:request:create', onCreate)
  isSubscribed = true
  const call: GuardedCall = { origin, ...written }
  const key = withoutQuery(path)
  const known = calls.get(key)
  if (known === undefined) calls.set(key, new Set([call]))
  else known.add(call)
  return () => {
    const rest = calls.get(key)
    if (rest?.delete(call) === true && rest.size === 0) calls.delete(key)
  }
}

/** The context of this listener may be another request's, so it reads nothing of it. */
function onCreate(message: unknown): void {
  const { request } = message as { request: UndiciRequest }
  if (calls.size === 0) return
  const isProxied = !request.path.startsWith('/')
  const path = isProxied ? URL.parse(request.path)?.pathname : request.path
  const candidates = [...(calls.get(withoutQuery(path ?? '')) ?? [])].filter(({ all }) =>
    all.every((field) => indexOf(request.headers, field) !== -1),
  )
  if (!isProxied && candidates.some(({ origin }) => isOriginOf(request, origin))) return
  for (const { confidential } of candidates) {
    for (const field of confidential) {
      const index = indexOf(request.headers, field)
      if (index !== -1) request.headers.splice(index, 2)
    }
  }
}

function isOriginOf({ origin: connected, host }: UndiciRequest, origin: string): boolean {
  if (origin === anyOrigin || origin === connected) return true
  // The interceptor `dns` replaces the host by its address, and keeps it in the `Host` header.
  const url = URL.parse(connected)
  if (url === null || host === null || isIP(url.hostname.replace(/^\[|\]$/g, '')) === 0) return false
  // With another port, it is the address of a `Pool` of another service.
  const named = URL.parse(`${url.protocol}//${host}`)
  return named?.origin === origin && named.port === url.port
}

function indexOf(headers: readonly unknown[], [name, value]: WrittenField): number {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i + 1] === value && String(headers[i]).toLowerCase() === name) return i
  }
  return -1
}

function withoutQuery(path: string): string {
  const query = path.indexOf('?')
  return query === -1 ? path : path.slice(0, query)
}
