import { parseArgs } from 'node:util'
import type { LogLine } from './log-lines.ts'

/**
 * Returns the URL of the option `--otlp`, or undefined without the option.
 *
 * @throws {TypeError} for an unknown argument, and for a URL that is not an HTTP URL.
 */
export function collectorUrl(args: string[]): string | undefined {
  const { otlp } = parseArgs({ args, options: { otlp: { type: 'string' } }, allowPositionals: true }).values
  if (otlp === undefined) return undefined
  const url = URL.parse(otlp)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(`--otlp: expected the URL of a collector, such as http://localhost:4318, got '${otlp}'.`)
  }
  // OpenTelemetry's exporters do the same with an endpoint for all signals.
  if (!url.pathname.endsWith('/v1/traces')) url.pathname = url.pathname.replace(/\/*$/, '/v1/traces')
  return url.href
}

/** Sums up in one line how many spans the services sent. */
export function exportReport(url: string, lines: readonly LogLine[]): string {
  const exports = lines.filter((line) => line.spans !== undefined)
  const total = (key: 'spans' | 'unsent') => exports.reduce((sum, line) => sum + (line[key] ?? 0), 0)
  const why = exports.find((line) => line.why !== undefined)?.why
  return `spans sent to ${url}: ${total('spans') - total('unsent')} of ${total('spans')}${why ? `, ${why}` : ''}`
}
