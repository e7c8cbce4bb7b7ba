import type { Spread } from '../harness/statistics.ts'

/** `1,234`, `45.6` or `0.123`: three digits that count. */
export function number(value: number): string {
  const size = Math.abs(value)
  if (size >= 100) return Math.round(value).toLocaleString('en')
  return value.toFixed(size >= 10 ? 1 : 2)
}

/** `1.05 (0.97–1.21)`: the median, and the quartiles around it. */
export function spread({ median, lower, upper }: Spread): string {
  return `${number(median)} (${number(lower)}–${number(upper)})`
}

/** With its unit, which a ratio has not. Long times are in milliseconds. */
export function withUnit(value: Spread, unit: string): string {
  if (unit === 'ratio') return spread(value)
  if (unit !== 'ns' || !isLong(value.median)) return `${spread(value)} ${shortUnit(unit)}`
  const { median, lower, upper } = value
  return `${spread({ median: median / nsPerMs, lower: lower / nsPerMs, upper: upper / nsPerMs })} ms`
}

/** A time, in milliseconds if it is long. */
export function time(ns: number): string {
  return isLong(ns) ? `${number(ns / nsPerMs)} ms` : `${number(ns)} ns`
}

const nsPerMs = 1e6

function isLong(ns: number): boolean {
  return Math.abs(ns) >= nsPerMs
}

export function shortUnit(unit: string): string {
  return unit === 'bytes' ? 'B' : unit === 'CPU µs' ? 'µs' : unit
}
