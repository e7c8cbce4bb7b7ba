import type { Row } from '../harness/row.ts'
import { baseOf } from '../harness/row.ts'
import { withUnit } from './format.ts'
import { cellOf } from './page.ts'
import { figuresOf, type NodeSummary } from './summary.ts'
import { unitOf } from './verdict.ts'

/** A row's figures on one Node, for a terminal. */
export function tableOf(row: Row, { node, samples, verdicts }: NodeSummary): string {
  const width = Math.max(...row.sides.map(({ name }) => name.length))
  const lines = row.sides.map(
    ({ name, role }) => `  ${name.padEnd(width)} ${role.padEnd(9)} ${cellOf(row, name, figuresOf(row, name, samples))}`,
  )
  const judged = verdicts.map(({ words, against, value, met }, i) => {
    const unit = row.targets[i] === undefined ? 'ratio' : unitOf(row.targets[i])
    return `  ${met ? 'met   ' : 'MISSED'} ${words}: ${withUnit(value, unit)}${unit === 'ratio' ? ` of ${against}` : ''}`
  })
  return [`${row.name}, Node ${node}, compared with ${baseOf(row)}`, ...lines, ...judged, ''].join('\n')
}
