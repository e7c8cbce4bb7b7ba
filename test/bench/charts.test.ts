import { describe, expect, it } from 'vitest'
import type { GrowthRow, MicroRow } from '../../bench/harness/row.ts'
import { barChart } from '../../bench/report/bars.ts'
import { curveChart } from '../../bench/report/curves.ts'
import { withWords } from '../../bench/report/chart.ts'
import type { Summary } from '../../bench/report/summary.ts'

const setup = () => ({ op() {}, check() {} })
const row: MicroRow = {
  name: 'row',
  kind: 'micro',
  title: '`set`',
  about: '',
  targets: [],
  sides: [
    { name: 'by hand', role: 'floor', setup },
    { name: 'us', role: 'ours', setup },
    { name: 'slow', role: 'peer', setup },
  ],
}
const growth: GrowthRow = {
  ...row,
  kind: 'growth',
  axis: 'tasks',
  sides: [1, 10].map((size) => ({ name: `us at ${size}`, role: 'ours', line: 'us', size, setup })),
}

function summaryOf(sides: Record<string, number[]>): Summary {
  const byNode = Object.fromEntries(Object.entries(sides).map(([name, figures]) => [name, { 26: figures }]))
  return {
    runs: {
      '2026-01-01': {
        machine: { cpu: 'a', cores: 2, system: 'linux x64' },
        nodes: { 26: 'v26.0.0' },
        packages: {},
      },
    },
    rows: { row: { date: '2026-01-01', quick: false, sides: byNode, targets: {} } },
  }
}

describe('barChart', () => {
  const chart = barChart('Values', [row], summaryOf({ 'by hand': [10], us: [20], slow: [9000] }), '26')

  it('describes its bars in words', () => {
    expect(chart.description).toBe('`set`: by hand (floor) 10.0 ns, us 20.0 ns, slow ▸ 9,000 ns. Shorter is better.')
  })

  it('cuts a bar that would make the library’s bar too short to see', () => {
    const { series } = chart.option as { series: [{ data: ({ value: number } | null)[] }] }

    expect(series[0].data.map((bar) => bar?.value)).toEqual([undefined, 0.1, 0.2, 1])
  })
})

describe('curveChart', () => {
  it('has a curve for each line, with a point for each size', () => {
    const chart = curveChart(growth, summaryOf({ 'us at 1': [5], 'us at 10': [50] }), '26')

    const { series } = chart.option as { series: { name: string; data: unknown }[] }
    expect(series.map(({ name, data }) => [name, data])).toEqual([
      [
        'us',
        [
          [1, 5],
          [10, 50],
        ],
      ],
    ])
    expect(chart.description).toContain('us at 10 50.0 ns')
  })
})

describe('withWords', () => {
  const svg = withWords('<svg width="1"><rect/></svg>', 'a & b', 'is <b>')

  it('adds an escaped title and description', () => {
    expect(svg).toMatch(/^<svg role="img" aria-labelledby="title description" width="1">/)
    expect(svg).toContain('<title id="title">a &amp; b</title>\n<desc id="description">is &lt;b&gt;</desc>')
  })

  it('has colors for a dark background', () => {
    expect(svg).toMatch(/prefers-color-scheme: dark\) \{\n\[fill="#0b5fcc"\] \{ fill: #58a6ff \}/)
  })
})
