import { createHash } from 'node:crypto'

/** One request of a call: the first, or one after a redirect. */
export interface Hop {
  readonly url: URL
  /** In upper case. */
  readonly method: string
  /** The caller's own headers that this host may receive; none of the context's. */
  readonly headers: Headers
  readonly body: ReplayableBody | undefined
  /** For the final response. A redirect has another body. */
  readonly integrity?: string | undefined
  /** All other options of the `fetch` call. */
  readonly settings: RequestInit
}

export interface ReplayableBody {
  /** Returns the body again; undefined for a stream, which can be read only once. */
  readonly again: (() => RequestInit['body'] | Promise<RequestInit['body']>) | undefined
  /** Drops the copy that `again` would read. */
  release(): void
}

/** Fetch, 4.4 "HTTP-redirect fetch": "if request's redirect count is 20, then return a network error". */
const maxRedirects = 20
type ResponseType = Response['type']

const redirectStatuses: readonly number[] = [301, 302, 303, 307, 308]
/** Fetch, 2.2.2 "request-body-header name", and the length, which Node's fetch also removes. */
const bodyHeaders = ['content-encoding', 'content-language', 'content-location', 'content-type', 'content-length']
/** Fetch removes `authorization`; Node's fetch also removes the others. */
const credentialHeaders = ['authorization', 'proxy-authorization', 'cookie', 'host']

/**
 * Follows redirects as `fetch` does, but sends each hop as a request of its own, so that each host can receive other
 * headers. `fetch` sends all headers except credentials to every host.
 *
 * @throws {TypeError} if `fetch` would throw one, with the reason as its cause.
 * @see {@link https://fetch.spec.whatwg.org/#http-redirect-fetch Fetch, 4.4}
 */
export async function followRedirects(
  first: Response,
  firstHop: Hop,
  send: (hop: Hop) => Promise<Response>,
): Promise<Response> {
  let response = first
  let hop = firstHop
  let type: ResponseType = 'basic'
  for (let count = 1; ; count++) {
    const location = redirectStatuses.includes(response.status) ? response.headers.get('location') : null
    if (location === null) {
      return withIntegrity(count === 1 ? response : redirected(response, type), firstHop.integrity ?? '')
    }
    // An unread body would occupy its connection.
    response.body?.cancel().catch(() => {})
    if (count > maxRedirects) throw networkError('redirect count exceeded')
    hop = nextHop(hop, response.status, location)
    type = typeOf(hop, firstHop, type)
    response = await send(hop)
  }
}

/** Fetch, 4.1 "Main fetch": a response is basic as long as all hops have the origin of the first. */
function typeOf({ url, settings }: Hop, firstHop: Hop, before: ResponseType): ResponseType {
  if (before !== 'basic' || url.origin === firstHop.url.origin) return before
  if (settings.mode === 'same-origin') throw networkError('request mode cannot be "same-origin"')
  return settings.mode === 'no-cors' ? 'opaque' : 'cors'
}

/** The final response as `fetch` shows it. */
function redirected(response: Response, type: ResponseType): Response {
  const { url, headers } = response
  if (type !== 'opaque') return withProperties(response, { redirected: true, type })
  response.body?.cancel().catch(() => {})
  const opaque = { redirected: true, type, url, status: 0, ok: false }
  return withProperties(new Response(null, { headers }), opaque)
}

/** Its clones have these properties too. */
function withProperties(response: Response, properties: Readonly<Record<string, unknown>>): Response {
  const original = response.clone
  const clone = function clone(this: Response): Response {
    return withProperties(original.call(this), properties)
  }
  for (const [name, value] of Object.entries(properties)) {
    Object.defineProperty(response, name, { value, configurable: true })
  }
  return Object.defineProperty(response, 'clone', { value: clone, configurable: true, writable: true })
}

/** Reads a copy of the whole body first, as `fetch` does with `integrity`. */
async function withIntegrity(response: Response, integrity: string): Promise<Response> {
  if (integrity === '' || hasIntegrity(Buffer.from(await response.clone().arrayBuffer()), integrity)) return response
  response.body?.cancel().catch(() => {})
  throw networkError('integrity mismatch')
}

/** Subresource Integrity, 3.3.4: of the strongest algorithm, any digest may match. Unknown metadata matches all. */
function hasIntegrity(body: Buffer, integrity: string): boolean {
  const items = integrity.split(' ').map((item) => /^(sha256|sha384|sha512)-([^?]*)/.exec(item) ?? [])
  const strongest = items
    .flatMap(([, algorithm]) => algorithm ?? [])
    .toSorted()
    .at(-1)
  if (strongest === undefined) return true
  const actual = createHash(strongest).update(body).digest('base64url')
  return items.some(([, algorithm, digest = '']) => algorithm === strongest && asBase64Url(digest) === actual)
}

function asBase64Url(base64: string): string {
  return base64.replace(/=+$/, '').replaceAll('+', '-').replaceAll('/', '_')
}

function nextHop(hop: Hop, status: number, location: string): Hop {
  const url = URL.parse(asUtf8(location), hop.url)
  if (url === null || !/^https?:$/.test(url.protocol)) throw networkError('URL scheme must be a HTTP(S) scheme')
  if (url.username !== '' || url.password !== '') throw networkError('a redirect must not bring credentials')
  if (status !== 303 && hop.body !== undefined && hop.body.again === undefined) {
    throw networkError('a body that is a stream cannot be sent again')
  }
  const headers = new Headers(hop.headers)
  if (url.origin !== hop.url.origin) for (const name of credentialHeaders) headers.delete(name)
  if (!becomesGet(status, hop.method)) return { ...hop, url, headers }
  for (const name of bodyHeaders) headers.delete(name)
  hop.body?.release()
  return { ...hop, url, method: 'GET', headers, body: undefined }
}

function becomesGet(status: number, method: string): boolean {
  if (status === 303) return method !== 'GET' && method !== 'HEAD'
  return (status === 301 || status === 302) && method === 'POST'
}

/** Headers are read as Latin-1, but many servers write the location in UTF-8. */
function asUtf8(location: string): string {
  return Buffer.from(location, 'latin1').toString('utf8')
}

/** An error in the form of `fetch`. */
function networkError(reason: string): TypeError {
  return new TypeError('fetch failed', { cause: new Error(reason) })
}
