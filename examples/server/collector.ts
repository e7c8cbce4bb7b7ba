import { parseArgs } from 'node:util'
import type { LogLine } from './log-lines.ts'

/** Returns the URL of the option `--otlp`, if it is set. Ends the process if an argument is wrong. */
export function collectorUrl(args: string[]): string | undefined {
  try {
    const { otlp } = parseArgs({ args, options: { otlp: { type: 'string' } }, allowPositionals: true }).values
    if (otlp === undefined) return undefined
    const url = URL.parse(otlp)
    // OpenTelemetry's exporters do the same with an endpoint for all signals.
    if (url?.protocol.startsWith('http')) return url.href.replace(/\/*(v1\/traces)?$/, '/v1/traces')
    throw new TypeError(`--otlp: expected the URL of a collector, such as http://localhost:4318, got '${otlp}'.`)
  } catch (error) {
    console.error((error as Error).message)
    return process.exit(1)
  }
}

/** Sums up in one line how many spans the services sent. */
export function exportReport(url: string, lines: readonly LogLine[]): string {
  const exports = lines.filter((line) => line.spans !== undefined)
  const total = (key: 'spans' | 'unsent') => exports.reduce((sum, line) => sum + (line[key] ?? 0), 0)
  const why = exports.find((line) => line.why !== undefined)?.why
  return `spans sent to ${url}: ${total('spans') - total('unsent')} of ${total('spans')}${why ? `, ${why}` : ''}`
}
