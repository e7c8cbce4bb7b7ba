import { subscribe, unsubscribe } from 'node:diagnostics_channel'

/** undici, and so the built-in fetch, publishes here when a request has its headers and may still get more. */
const channel = 'undici:request:create'

/** The headers that name a call's place in a trace. */
const traceFields = new Set([
  'traceparent',
  'tracestate',
  'b3',
  'x-b3-traceid',
  'x-b3-spanid',
  'x-b3-parentspanid',
  'x-b3-sampled',
  'x-b3-flags',
  'uber-trace-id',
  'x-amzn-trace-id',
])

/**
 * Removes repeated trace headers from the requests of undici and of the built-in fetch; the last one written stays. Our
 * clients write theirs when the call is made. OpenTelemetry's instrumentation only appends, when the request is created,
 * and its span is the one nearest to the called service. Returns a function that ends this.
 */
export function writeTraceOnce(): () => void {
  const onCreate = (message: unknown) => {
    const headers = (message as { request?: { headers?: unknown } } | undefined)?.request?.headers
    if (!Array.isArray(headers)) return
    keepLast(headers)
    // A later subscriber of the channel appends after this one.
    Object.defineProperty(headers, 'push', { configurable: true, writable: true, value: pushOnce })
  }
  subscribe(channel, onCreate)
  return () => void unsubscribe(channel, onCreate)
}

function pushOnce(this: unknown[], ...items: unknown[]): number {
  Array.prototype.push.apply(this, items)
  keepLast(this)
  return this.length
}

/** Names and values alternate. */
function keepLast(headers: unknown[]): void {
  const seen = new Set<string>()
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    const name = String(headers[i]).toLowerCase()
    if (!traceFields.has(name)) continue
    if (seen.has(name)) headers.splice(i, 2)
    seen.add(name)
  }
}
