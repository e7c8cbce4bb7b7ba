import type { Row } from '../harness/row.ts'
import { shortUnit, spread, withUnit } from './format.ts'
import type { NodeResult } from './results.ts'

/** A row's figures on one Node for a terminal: those of each side, and how they relate to what they are measured by. */
export function tableOf(row: Row, { node, sides, verdicts }: NodeResult): string {
  const width = Math.max(...sides.map(({ name }) => name.length))
  const lines = sides.map(({ name, role, figures }) => {
    const cells = figures.map(
      ({ figure, value, ratio }) =>
        `${spread(value)} ${figure === 'CPU µs' ? figure : shortUnit(figure)}`.padStart(34) +
        `  × ${spread(ratio)}`.padEnd(24),
    )
    return `  ${name.padEnd(width)} ${role.padEnd(9)} ${cells.join('').trimEnd()}`
  })
  const judged = verdicts.map(
    ({ words, against, value, unit, met }) =>
      `  ${met ? 'met   ' : 'MISSED'} ${words}: ${withUnit(value, unit)}${unit === 'ratio' ? ` of ${against}` : ''}`,
  )
  return [`${row.name}, Node ${node} (× of ${sides.find(({ isBase }) => isBase)?.name})`, ...lines, ...judged, ''].join(
    '\n',
  )
}
