import { parseArgs } from 'node:util'
import type { LogLine } from './log-lines.ts'

/**
 * Where `--otlp URL` asks for the spans to be sent; undefined without it.
 *
 * @throws {TypeError} for an argument that is not known, and for a URL that is none of HTTP.
 */
export function collectorUrl(args: string[]): string | undefined {
  const { otlp } = parseArgs({ args, options: { otlp: { type: 'string' } }, allowPositionals: true }).values
  if (otlp === undefined) return undefined
  const url = URL.parse(otlp)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(`--otlp: expected the URL of a collector, such as http://localhost:4318, got '${otlp}'.`)
  }
  // What the exporters of OpenTelemetry do with an endpoint that is for all signals.
  if (!url.pathname.endsWith('/v1/traces')) url.pathname = url.pathname.replace(/\/*$/, '/v1/traces')
  return url.href
}

/** What the services say at their ends of what they have sent, in one line. */
export function exportReport(url: string, lines: readonly LogLine[]): string {
  const exports = lines.filter((line) => line.spans !== undefined)
  const total = (key: 'spans' | 'unsent') => exports.reduce((sum, line) => sum + (line[key] ?? 0), 0)
  const why = exports.find((line) => line.why !== undefined)?.why
  return `spans sent to ${url}: ${total('spans') - total('unsent')} of ${total('spans')}${why ? `, ${why}` : ''}`
}
