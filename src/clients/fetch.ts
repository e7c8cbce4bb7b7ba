import type { LogicalContext } from '../context/logical-context.ts'
import { aFunction, type Checks, checkOptions } from '../options.ts'
import { carrierOf } from '../propagators/carrier.ts'
import { callContext, withDeadline } from './call-deadline.ts'
import { guardOrigin } from './origin-guard.ts'
import { Outbound } from './outbound.ts'
import { outboundChecks, type OutboundOptions } from './outbound-options.ts'
import { startCall } from './start-call.ts'
import { followRedirects, type Hop, type ReplayableBody } from './redirects.ts'

/** The first argument of `fetch`. */
export type FetchInput = string | URL | Request

/** The signature of `fetch`. */
export type Fetch = (input: FetchInput, init?: RequestInit) => Promise<Response>

/** Options of `contextFetch.with`. */
export interface ContextFetchOptions extends OutboundOptions {
  /** Makes the calls. Default: the global `fetch` at the time of the call. */
  fetch?: Fetch
}

/** A `fetch` that carries the context, and `with` for one with other options. */
export interface ContextFetch extends Fetch {
  /**
   * Returns a `contextFetch` with these options in addition to its own; a new option replaces one of the same name.
   *
   * @throws {TypeError} if an option is unknown or has the wrong type, or a host is invalid.
   */
  with(options: ContextFetchOptions): ContextFetch
  /** Counts the fields that were not sent. */
  readonly outbound: Outbound
}

const checks: Checks = { ...outboundChecks, fetch: aFunction }
/** Other libraries may pass settings of their own to `fetch`; these names are of this one. */
const ownNames = ['propagators', 'values', 'spanPerCall', 'onRefusal'] as const

/**
 * `fetch` that writes the caller's context into the headers: trace and request id, and values for the listed hosts. The
 * context is read when it is called. A header that is already set stays; `init` and a `Request` are not changed.
 *
 * At the caller's deadline the call aborts with a `TimeoutError`, and so does the reading of its body. It does not abort
 * with the caller's request, because the call may be a payment or a clean-up: pass `request.requestScope.signal` for
 * that.
 *
 * If some hosts receive more than others, it follows redirects itself, and each hop receives what its host may receive.
 */
export const contextFetch: ContextFetch = withOptions({})

function withOptions(options: ContextFetchOptions): ContextFetch {
  const { fetch, ...outboundOptions } = checkOptions('contextFetch', options, checks)
  const outbound = new Outbound('contextFetch', outboundOptions)
  // A rest parameter keeps the length of `fetch`.
  const fetchInContext = (input: FetchInput, ...[init]: [init?: RequestInit]) =>
    call(fetch ?? globalThis.fetch, outbound, callContext(), input, init)
  return outbound.asClient(fetchInContext, {
    with(more: ContextFetchOptions) {
      // Checked before the spread: `null` spreads to nothing.
      checkOptions('contextFetch', more, checks)
      return withOptions({ ...options, ...more })
    },
  })
}

async function call(
  fetch: Fetch,
  outbound: Outbound,
  context: LogicalContext,
  input: FetchInput,
  init: RequestInit | undefined,
): Promise<Response> {
  checkInit(init)
  const { url, method, headers, signal: own, redirect, init: given, firstHop } = readCall(input, init)
  const name = () => `${method} ${url?.origin ?? ''}${url?.pathname ?? ''}`
  const { signal, clear } = withDeadline(context, name, own)
  const end = startCall('contextFetch', name)
  try {
    signal?.throwIfAborted?.()
    if (url === null || redirect !== 'follow' || !outbound.dependsOnHost) {
      const response = await send(fetch, outbound, context, input, url, { ...given, signal, headers })
      end?.(response.status, undefined)
      return response
    }
    const followed: RequestInit = { signal, redirect: 'manual', integrity: '' }
    const first = firstHop(url)
    try {
      const redirecting = await send(fetch, outbound, context, input, url, { ...given, ...followed, headers })
      const response = await followRedirects(redirecting, first, async (hop) => {
        const body = await hop.body?.again?.()
        const settings = { ...hop.settings, ...followed, method: hop.method, headers: hop.headers, body }
        return send(fetch, outbound, context, hop.url.href, hop.url, settings)
      })
      end?.(response.status, undefined)
      return response
    } finally {
      first.body?.release()
    }
  } catch (error) {
    clear?.()
    end?.(undefined, error)
    throw error
  }
}

/** @throws {TypeError} for options of this client, which `fetch` would ignore. */
function checkInit(init: object | null | undefined): void {
  const name = ownNames.find((known) => (init as Record<string, unknown> | null | undefined)?.[known] !== undefined)
  if (name === undefined) return
  throw new TypeError(
    `contextFetch: expected the option '${name}' in contextFetch.with({ ${name} }), got it in the settings of a call.`,
  )
}

type Settings = RequestInit & { readonly headers: FetchCall['headers'] }

/** Sends one request with what its target may receive. */
function send(
  fetch: Fetch,
  outbound: Outbound,
  context: LogicalContext,
  input: FetchInput,
  target: URL | null,
  settings: Settings,
): Promise<Response> {
  const headers = outbound.dependsOnHost ? new Headers(settings.headers) : settings.headers
  const written = outbound.write(context, carrierOf(headers), target)
  const endGuard = target === null ? undefined : guardOrigin(target.pathname, target.origin, written)
  if (endGuard === undefined) return fetch(input, { ...settings, headers })
  return guarded(() => fetch(input, { ...settings, headers }), endGuard, written.confidential.length > 0)
}

/** A dispatcher may repeat a request after its response started. So the guard ends with the response object. */
const guards = new FinalizationRegistry<() => void>((endGuard) => endGuard())

async function guarded(
  sendNow: () => Promise<Response>,
  endGuard: () => void,
  isConfidential: boolean,
): Promise<Response> {
  let response: Response | undefined
  try {
    response = await sendNow()
    return response
  } finally {
    if (isConfidential && typeof response === 'object') guards.register(response, endGuard)
    else endGuard()
  }
}

/** The two arguments of `fetch` as one. */
interface FetchCall {
  /** Null for an input that only the wrapped `fetch` may understand, such as a path. */
  readonly url: URL | null
  readonly method: string
  /** A copy of the caller's headers. A plain object if there are none: `Headers` checks and converts at each access. */
  readonly headers: Headers | Record<string, string>
  readonly redirect: RequestInit['redirect']
  readonly signal: RequestInit['signal'] | undefined
  /** The second argument as an object that can be spread. */
  readonly init: RequestInit
  /** The request in a form that redirects can follow. */
  firstHop(url: URL): Hop
}

/** Reads the arguments of `fetch` and changes neither. */
function readCall(input: FetchInput, init: RequestInit | undefined): FetchCall {
  const request = isRequest(input) ? input : undefined
  // A Request is a valid init, but has no own properties to spread.
  const given: RequestInit = isRequest(init) ? { ...settingsOf(init), body: init.body, duplex: 'half' } : { ...init }
  const method = (given.method ?? request?.method ?? 'GET').toUpperCase()
  const set = given.headers === undefined ? request?.headers : given.headers
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
      integrity: given.integrity ?? request?.integrity,
      settings: { ...(request && settingsOf(request)), ...given },
    }),
  }
}

/** `fetch` converts any other value to a text, and refuses it if that is not a URL. */
function textOf(input: unknown): string {
  if (isRequest(input)) return input.url
  return typeof input === 'object' && input !== null && 'href' in input ? String(input.href) : String(input)
}

/** Recognised by its form, because another `fetch` has another `Request` class. */
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

/** A Request does not show the source of its body, so a copy is kept in memory until a response is not a redirect. */
function spareBodyOf(request: Request | undefined): ReplayableBody | undefined {
  // A body that was read, or is being read, fails in `fetch`.
  if (request === undefined || request.body === null || request.bodyUsed || request.body.locked) return undefined
  const spare = request.clone()
  let bytes: Promise<ArrayBuffer> | undefined
  return {
    again: () => (bytes ??= spare.arrayBuffer()),
    release() {
      if (bytes === undefined) spare.body?.cancel().catch(() => {})
    },
  }
}
