import { subscribe, unsubscribe } from 'node:diagnostics_channel'

/** Published by undici, and so by the built-in fetch, when a request has its headers and may still get more. */
const channel = 'undici:request:create'

/** What says where in a trace a call is made: it must be said once. */
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
 * Leaves each trace header once on the requests of undici and of the built-in fetch, as it was written last: our clients
 * write it when the call is made, and OpenTelemetry's instrumentation, which only appends, when the request is created.
 * Its span is the one nearest to the callee. Returns how to end that.
 */
export function writeTraceOnce(): () => void {
  const onCreate = (message: unknown) => {
    const headers = (message as { request?: { headers?: unknown } } | undefined)?.request?.headers
    if (!Array.isArray(headers)) return
    keepLast(headers)
    // Who subscribed behind us appends later.
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

/** Names and values, in turn. */
function keepLast(headers: unknown[]): void {
  const seen = new Set<string>()
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    const name = String(headers[i]).toLowerCase()
    if (!traceFields.has(name)) continue
    if (seen.has(name)) headers.splice(i, 2)
    seen.add(name)
  }
}
