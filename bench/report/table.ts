import type { Samples } from '../harness/micro.ts'
import type { MicroRow } from '../harness/row.ts'
import { ratioOf, type Spread, spreadOf } from '../harness/statistics.ts'
import type { Verdict } from './verdict.ts'

/** A row's figures for a terminal: each side's time, and ours in relation to it. */
export function microTable(row: MicroRow, node: string, samples: Samples, verdicts: readonly Verdict[]): string {
  const ours = samples.get(row.sides.find(({ role }) => role === 'ours')?.name ?? '') ?? []
  const lines = row.sides.map(({ name, role }) => {
    const times = samples.get(name) ?? []
    const ratio = role === 'ours' ? '' : `ours is ${ratioText(ratioOf(ours, times))} of it`
    return `  ${name.padEnd(46)} ${role.padEnd(9)} ${spreadText(spreadOf(times)).padStart(26)}   ${ratio}`
  })
  const judged = verdicts.map(
    ({ words, against, ratio, met }) => `  ${met ? 'met   ' : 'MISSED'} ${words}: ${ratioText(ratio)} (${against})`,
  )
  return [`${row.name}, Node ${node}`, ...lines, ...judged, ''].join('\n')
}

function spreadText({ median, lower, upper }: Spread): string {
  return `${digits(median)} ns (${digits(lower)}–${digits(upper)})`
}

function ratioText({ median, lower, upper }: Spread): string {
  return `${median.toFixed(2)} (${lower.toFixed(2)}–${upper.toFixed(2)})`
}

function digits(value: number): string {
  return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en')
}
