import type { Figure, Row } from '../harness/row.ts'
import type { Samples } from '../harness/samples.ts'
import { ratioOf, type Spread, spreadOf } from '../harness/statistics.ts'
import { ourSide, type Verdict } from './verdict.ts'

/** The figures of each kind of row, the most telling one first. */
export const figuresOf: Readonly<Record<Row['kind'], readonly Figure[]>> = {
  micro: ['ns'],
  growth: ['ns'],
  memory: ['bytes'],
  fastify: ['requests/s', 'p99 ms', 'CPU µs'],
}

/** A row's figures for a terminal: those of each side, and ours in relation to them. */
export function tableOf(row: Row, node: string, samples: Samples, verdicts: readonly Verdict[]): string {
  const width = Math.max(...row.sides.map(({ name }) => name.length))
  const lines = row.sides.map(({ name, role }) => {
    const cells = figuresOf[row.kind].map((figure) => {
      const figures = samples.of(name, figure)
      const ratio = ratioText(ratioOf(samples.of(ourSide(row), figure), figures))
      return `${spreadText(spreadOf(figures), figure).padStart(30)}${role === 'ours' ? '' : `  ours ${ratio}`}`.padEnd(54)
    })
    return `  ${name.padEnd(width)} ${role.padEnd(9)} ${cells.join('').trimEnd()}`
  })
  const judged = verdicts.map(
    ({ words, against, ratio, met }) => `  ${met ? 'met   ' : 'MISSED'} ${words}: ${ratioText(ratio)} (${against})`,
  )
  return [`${row.name}, Node ${node}`, ...lines, ...judged, ''].join('\n')
}

function spreadText({ median, lower, upper }: Spread, unit: string): string {
  return `${digits(median)} ${unit} (${digits(lower)}–${digits(upper)})`
}

function ratioText({ median, lower, upper }: Spread): string {
  return `${median.toFixed(2)} (${lower.toFixed(2)}–${upper.toFixed(2)})`
}

function digits(value: number): string {
  return Math.abs(value) < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en')
}
