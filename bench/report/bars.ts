import type { Role, Row } from '../harness/row.ts'
import { number, shortUnit, time } from './format.ts'
import { charted, type Summary } from './summary.ts'
import { type Chart, colors, inWords, labelled } from './chart.ts'

const lineHeight = 24
const units = { micro: 'ns', growth: 'ns', memory: 'bytes', fastify: 'CPU µs' } as const

/** A chart of bars: each row has a title, a bar for each side, and its own scale. */
export function barChart(title: string, rows: readonly Row[], summary: Summary, node: string): Chart {
  const lines = rows.flatMap((row) => [
    { label: row.title.replaceAll('`', ''), isTitle: true },
    ...barsOf(row, summary, node),
  ])
  const height = lines.length * lineHeight + 40
  return {
    title,
    description: `${rows.map((row) => inWords(row.title, barsOf(row, summary, node))).join(' ')} Shorter is better.`,
    height,
    option: {
      title: { text: `${title} · shorter is better · Node ${node}`, left: 0, textStyle: colors.soft },
      grid: { left: 330, right: 130, top: 30, bottom: 0 },
      xAxis: { type: 'value', show: false, max: 1 },
      yAxis: {
        type: 'category',
        inverse: true,
        data: lines.map(({ label }) => label),
        axisLine: { show: false },
        axisTick: { show: false },
        axisLabel: {
          interval: 0,
          fontSize: 13,
          color: (_: unknown, i = 0) => (lines[i]?.isTitle ? colors.title : colors.text),
        },
      },
      series: [
        {
          type: 'bar',
          barWidth: 16,
          data: lines.map((line) =>
            'share' in line
              ? {
                  value: Math.min(line.share, 1),
                  itemStyle: { color: colors[line.kind] },
                  label: { formatter: line.text },
                }
              : null,
          ),
          label: { show: true, position: 'right', fontSize: 12, color: colors.soft.color },
        },
      ],
    },
  }
}

interface Bar {
  readonly label: string
  readonly isTitle: false
  readonly kind: 'ours' | 'floor' | 'other'
  /** Of the row's scale. More than 1 is cut. */
  readonly share: number
  readonly text: string
}

function barsOf(row: Row, { rows }: Summary, node: string): Bar[] {
  const unit = units[row.kind]
  const sides: readonly { name: string; role: Role }[] = row.sides
  const values = sides.flatMap(({ name, role }) => {
    const value = rows[row.name]?.sides[name]?.[node]?.[charted[row.kind]]
    return value === undefined ? [] : [{ name, role, value }]
  })
  const own = values.filter(({ role }) => role === 'ours' || role === 'floor').map(({ value }) => value)
  // A bar that is far longer than ours is cut, because ours would be too short to see.
  const full = Math.min(Math.max(...values.map(({ value }) => value)), 5 * Math.max(...own))
  return values.map(({ name, role, value }) => ({
    label: labelled(name, role),
    isTitle: false,
    kind: role === 'ours' || role === 'floor' ? role : 'other',
    share: value / full,
    text: `${value > full ? '▸ ' : ''}${unit === 'ns' ? time(value) : `${number(value)} ${shortUnit(unit)}`}`,
  }))
}
