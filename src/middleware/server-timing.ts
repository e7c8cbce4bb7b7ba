import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import { keepShape } from '../callbacks.ts'
import { formatTraceparent } from '../propagators/w3c-trace-context.ts'
import type { TraceContext } from '../variables/trace-context.ts'

const field = 'server-timing'
type Pair = readonly [name: unknown, value: unknown]

/**
 * Adds the trace to the response's `Server-Timing` when its head is written, after the metrics of the program. Every head
 * is written by `writeHead`, also one that Node writes implicitly.
 *
 * W3C Trace Context, "Server-Timing" as a response header; a decision is not reported as undecided.
 */
export function addServerTiming(response: ServerResponse | Http2ServerResponse, trace: TraceContext): void {
  const own = `trace;desc="${formatTraceparent(trace, trace.sampling === 'defer' ? 'accept' : trace.sampling)}"`
  const { writeHead } = response as { writeHead: (...args: unknown[]) => unknown }
  const value = function (this: typeof response, ...args: unknown[]): unknown {
    if (this.headersSent) return writeHead.apply(this, args)
    const index = args.findLastIndex((arg, at) => at > 0 && typeof arg === 'object' && arg !== null)
    const headers = args[index] as object | undefined
    const pairs = headers === undefined ? [] : pairsOf(headers)
    const given = pairs.filter(isTiming).map(([, text]) => text)
    // As in Node, headers of this call replace those of `setHeader`.
    const text = textOf(given.length > 0 ? given : [this.getHeader(field)], own)
    if (Array.isArray(headers) || given.length > 0) {
      const all = [...pairs.filter((pair) => !isTiming(pair)), [field, text] as const]
      args[index] = Array.isArray(headers) ? listLike(headers, all) : Object.fromEntries(all)
    } else this.setHeader(field, text)
    return writeHead.apply(this, args)
  }
  Object.defineProperty(response, 'writeHead', {
    value: keepShape(writeHead, value),
    configurable: true,
    writable: true,
  })
}

/** One line, with `own` once: the head of a response is written again if it could not be written. */
function textOf(given: readonly unknown[], own: string): string {
  const texts = given.flat().filter((text) => text !== undefined && text !== '')
  return texts.includes(own) || texts.some((text) => String(text).endsWith(`, ${own}`))
    ? texts.join(', ')
    : [...texts, own].join(', ')
}

function pairsOf(headers: object): readonly Pair[] {
  if (!Array.isArray(headers)) return Object.entries(headers)
  if (isOfPairs(headers)) return headers as Pair[]
  const flat = headers as readonly unknown[]
  // A list of odd length stays one: Node throws its own error.
  return flat.flatMap((_, at) => (at % 2 === 0 ? [flat.slice(at, at + 2) as unknown as Pair] : []))
}

function listLike(headers: readonly unknown[], pairs: readonly Pair[]): readonly unknown[] {
  return isOfPairs(headers) ? pairs : pairs.flat()
}

function isOfPairs(headers: readonly unknown[]): boolean {
  return Array.isArray(headers[0])
}

function isTiming([name]: Pair): boolean {
  return String(name).toLowerCase() === field
}
