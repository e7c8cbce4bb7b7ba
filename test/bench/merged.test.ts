import { describe, expect, it } from 'vitest'
import { merged, type Results, type RowResult } from '../../bench/report/results.ts'

const machine = { cpu: 'a', cores: 2, system: 'linux x64' }

function resultsOf(rows: Record<string, boolean>, more: Partial<Results> = {}): Results {
  const made = Object.entries(rows).map(([name, quick]): RowResult => {
    return { name, kind: 'micro', title: name, about: '', quick, nodes: [] }
  })
  return { date: '2026-01-01', machine, nodes: { 26: 'v26.0.0' }, packages: { pino: '10.0.0' }, rows: made, ...more }
}

describe('merged', () => {
  it('has the rows of now, and of the earlier run those that were not measured, in the order of all', () => {
    const earlier = resultsOf({ get: true, set: true, gone: true })
    const now = resultsOf({ set: false, scope: false }, { date: '2026-02-02' })

    const { date, rows } = merged(earlier, now, ['scope', 'get', 'set'])

    expect(date).toBe('2026-02-02')
    expect(rows.map(({ name, quick }) => [name, quick])).toEqual([
      ['scope', false],
      ['get', true],
      ['set', false],
    ])
  })

  it.each<[what: string, more: Partial<Results>]>([
    ['another machine', { machine: { ...machine, cores: 4 } }],
    ['another Node', { nodes: { 26: 'v26.1.0' } }],
    ['another version of a peer', { packages: { pino: '10.0.1' } }],
  ])('throws for an earlier run with %s', (_what, more) => {
    expect(() => merged(resultsOf({ get: false }, more), resultsOf({ set: false }), [])).toThrow('other surroundings')
  })
})
