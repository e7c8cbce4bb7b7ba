import { describe, expect, it } from 'vitest'
import { barChart } from '../../bench/report/bars.ts'
import { curveChart } from '../../bench/report/curves.ts'
import type { RowResult, SideResult } from '../../bench/report/results.ts'

const one = { median: 1, lower: 1, upper: 1 }

function side(name: string, role: SideResult['role'], ns: number, point?: { line: string; size: number }): SideResult {
  const value = { median: ns, lower: ns, upper: ns }
  return { name, role, isBase: role === 'floor', figures: [{ figure: 'ns', value, ratio: one, more: one }], ...point }
}

const row: RowResult = {
  name: 'row',
  kind: 'micro',
  title: '`set` & <get>',
  about: '',
  quick: false,
  nodes: [
    {
      node: '26',
      sides: [side('by hand', 'floor', 10), side('us', 'ours', 20), side('slow', 'peer', 9000)],
      verdicts: [],
    },
  ],
}
const curves: RowResult = {
  ...row,
  kind: 'growth',
  axis: 'tasks',
  nodes: [
    {
      node: '26',
      sides: [1, 10, 100].map((size) => side(`us at ${size}`, 'ours', 5 * size, { line: 'logical-context', size })),
      verdicts: [],
    },
  ],
}

describe.each([
  ['barChart', barChart('Values', [row], '26', 'ns')],
  ['curveChart', curveChart(curves, '26')],
])('%s', (_, picture) => {
  it('says in words what it shows', () => {
    expect(picture).toMatch(/role="img" aria-labelledby="title description"/)
    expect(picture).toMatch(/<title id="title">[^<]+<\/title>/)
    expect(picture).toMatch(/<desc id="description">[^<]*(us 20|50.0 at 10)[^<]*<\/desc>/)
  })

  it('has colours for light and for dark grounds', () => {
    expect(picture).toContain('@media (prefers-color-scheme: dark)')
    expect(picture.match(/\.ours \{ fill: (#[0-9a-f]{6}) \}/g)?.length).toBe(2)
  })

  it('escapes what a title says', () => {
    expect(picture).toContain('set')
    expect(picture).toMatch(/&amp; &lt;get&gt;/)
  })
})

describe('barChart', () => {
  it('cuts a bar that would make ours a speck, and still says its figure', () => {
    const picture = barChart('Values', [row], '26', 'ns')

    expect(picture).toContain('▸ 9,000 ns')
    expect(picture.match(/width="300"/g)?.length).toBe(1)
  })
})
