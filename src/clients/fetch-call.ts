import type { Hop, ReplayableBody } from './redirects.ts'

export type FetchInput = string | URL | Request

/** What `fetch` was asked for, its two arguments put together. */
export interface FetchCall {
  /** Null for what only the `fetch` that is wrapped may understand: a path, for one. */
  readonly url: URL | null
  readonly method: string
  /** A copy of what the caller has set. Without any, an object: `Headers` checks and converts at each access. */
  readonly headers: Headers | Record<string, string>
  readonly redirect: RequestInit['redirect']
  readonly signal: RequestInit['signal'] | undefined
  /** The second argument as an object that can be spread. */
  readonly init: RequestInit
  /** The first request as one that redirects may follow. */
  firstHop(url: URL): Hop
}

/** Reads the arguments of `fetch` and changes neither. */
export function readCall(input: FetchInput, init: RequestInit | undefined): FetchCall {
  const request = isRequest(input) ? input : undefined
  // A Request is an init too, but has nothing to spread.
  const given: RequestInit = isRequest(init) ? { ...settingsOf(init), body: init.body, duplex: 'half' } : { ...init }
  const method = (given.method ?? request?.method ?? 'GET').toUpperCase()
  const set = given.headers ?? request?.headers
  const headers = set === undefined ? {} : new Headers(set)
  return {
    url: URL.parse(textOf(input)),
    method,
    headers,
    redirect: given.redirect ?? request?.redirect ?? 'follow',
    signal: given.signal === undefined ? request?.signal : given.signal,
    init: given,
    firstHop: (url) => ({
      url,
      method,
      headers: new Headers(headers),
      body: bodyOf(given) ?? spareBodyOf(request),
      settings: { ...(request && settingsOf(request)), ...given },
    }),
  }
}

function textOf(input: FetchInput): string {
  if (typeof input === 'string') return input
  return 'href' in input ? input.href : input.url
}

/** By its form: another `fetch` has another `Request`. */
function isRequest(value: unknown): value is Request {
  return typeof value === 'object' && value !== null && 'url' in value && 'clone' in value
}

function settingsOf(request: Request): RequestInit {
  const { method, headers, mode, credentials, cache, redirect, referrerPolicy, integrity, keepalive, signal } = request
  return { method, headers, mode, credentials, cache, redirect, referrerPolicy, integrity, keepalive, signal }
}

function bodyOf({ body }: RequestInit): ReplayableBody | undefined {
  if (body === undefined || body === null) return undefined
  const isStream = typeof body === 'object' && Symbol.asyncIterator in body
  return { again: isStream ? undefined : () => body, release() {} }
}

/** A Request does not show what its body was made of, so it is kept in memory until the answer is no redirect. */
function spareBodyOf(request: Request | undefined): ReplayableBody | undefined {
  if (request === undefined || request.body === null) return undefined
  const spare = request.clone()
  let bytes: Promise<ArrayBuffer> | undefined
  return {
    again: () => (bytes ??= spare.arrayBuffer()),
    release() {
      if (bytes === undefined) spare.body?.cancel().catch(() => {})
    },
  }
}
