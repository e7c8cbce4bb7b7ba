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

/** With its unit, which a ratio has not. */
export function withUnit(value: Spread, unit: string): string {
  return unit === 'ratio' ? spread(value) : `${spread(value)} ${shortUnit(unit)}`
}

export function shortUnit(unit: string): string {
  return unit === 'bytes' ? 'B' : unit === 'CPU µs' ? 'µs' : unit
}
