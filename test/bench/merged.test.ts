import { describe, expect, it } from 'vitest'
import { merged, type Run, type Summary } from '../../bench/report/summary.ts'

const machine = { cpu: 'a', cores: 2, system: 'linux x64' }

function summaryOf(date: string, ...names: readonly string[]): Summary {
  const rows = Object.fromEntries(names.map((name) => [name, { date, quick: false, sides: {}, targets: {} }]))
  return { runs: { [date]: { machine, nodes: { 26: 'v26.0.0' }, packages: { pino: '10.0.0' } } }, rows }
}

describe('merged', () => {
  const earlier = summaryOf('2026-01-01', 'get', 'set', 'gone')

  it('has the new rows, and the earlier rows that were not measured again, in the given order', () => {
    const { rows } = merged(earlier, summaryOf('2026-02-02', 'set', 'scope'), ['scope', 'get', 'set'])

    expect(Object.entries(rows).map(([name, { date }]) => [name, date])).toEqual([
      ['scope', '2026-02-02'],
      ['get', '2026-01-01'],
      ['set', '2026-02-02'],
    ])
  })

  it.each<[what: string, run: Partial<Run>]>([
    ['another machine', { machine: { ...machine, cores: 4 } }],
    ['another Node', { nodes: { 26: 'v26.1.0' } }],
    ['another version of a peer', { packages: { pino: '10.0.1' } }],
  ])('throws if rows that are kept were measured on the same day with %s', (_what, run) => {
    const date = '2026-01-01'
    const now = summaryOf(date, 'set')
    const other = { ...now, runs: { [date]: { ...(now.runs[date] as Run), ...run } } }

    expect(() => merged(earlier, other, ['get', 'set'])).toThrow('another machine, Node or packages')
    expect(merged(earlier, other, ['set'])).toEqual(other)
  })

  it('keeps the runs of its rows, and no others', () => {
    const dates = (order: string[]) => Object.keys(merged(earlier, summaryOf('2026-02-02', 'set'), order).runs)

    expect(dates(['get', 'set'])).toEqual(['2026-01-01', '2026-02-02'])
    expect(dates(['set'])).toEqual(['2026-02-02'])
  })
})
