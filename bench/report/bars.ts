import type { Figure, Role } from '../harness/row.ts'
import { number, shortUnit } from './format.ts'
import type { RowResult } from './results.ts'
import { fixed, svg, text } from './svg.ts'

const width = 760
const labelWidth = 330
const barWidth = 300
const lineHeight = 24

/** Bars of one figure of several rows, below each other; of each row what was measured on one Node. */
export function barChart(title: string, rows: readonly RowResult[], node: string, figure: Figure): string {
  const body: string[] = []
  let y = 28
  body.push(
    text(0, y - 8, `${title} · ${figure === 'requests/s' ? 'longer' : 'shorter'} is better · Node ${node}`, {
      kind: 'soft',
    }),
  )
  for (const row of rows) {
    y += 20
    body.push(text(0, y, row.title.replaceAll('`', ''), { kind: 'title' }))
    y += 8
    const bars = barsOf(row, node, figure)
    const full = scaleOf(bars)
    for (const { name, role, value } of bars) {
      const length = Math.max(1, (Math.min(value, full) / full) * barWidth)
      const kind = kindOf(role)
      body.push(text(labelWidth - 10, y + 16, role === 'floor' ? `${name} (floor)` : name, { anchor: 'end' }))
      body.push(`<rect x="${labelWidth}" y="${y + 4}" width="${fixed(length)}" height="16" rx="2" class="${kind}"/>`)
      const cut = value > full ? ' ▸' : ''
      body.push(
        text(labelWidth + length + 6, y + 16, `${cut} ${number(value)} ${shortUnit(figure)}`.trim(), { kind: 'soft' }),
      )
      y += lineHeight
    }
  }
  const description = rows.map(
    (row) =>
      `${row.title}: ${barsOf(row, node, figure)
        .map(({ name, value }) => `${name} ${number(value)}`)
        .join(', ')}.`,
  )
  return svg(title, `In ${figure}. ${description.join(' ')}`, width, y + 8, body)
}

interface Bar {
  readonly name: string
  readonly role: Role
  readonly value: number
}

function barsOf(row: RowResult, node: string, figure: Figure): Bar[] {
  const sides = row.nodes.find((result) => result.node === node)?.sides ?? []
  return sides.map(({ name, role, figures }) => ({
    name,
    role,
    value: figures.find((known) => known.figure === figure)?.value.median ?? 0,
  }))
}

/** A bar that is far longer than ours is cut, or ours could not be seen. */
function scaleOf(bars: readonly Bar[]): number {
  const longest = Math.max(...bars.map(({ value }) => value))
  const ours = Math.max(...bars.filter(({ role }) => role === 'ours' || role === 'floor').map(({ value }) => value))
  return Math.min(longest, ours * 5)
}

export function kindOf(role: Role): 'ours' | 'floor' | 'other' {
  return role === 'ours' || role === 'floor' ? role : 'other'
}
