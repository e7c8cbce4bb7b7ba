import { describe, expect, it } from 'vitest'
import { merged, type Summary } from '../../bench/report/summary.ts'

const machine = { cpu: 'a', cores: 2, system: 'linux x64' }

function summaryOf(quick: Record<string, boolean>, more: Partial<Summary> = {}): Summary {
  const rows = Object.fromEntries(
    Object.entries(quick).map(([name, isQuick]) => [name, { quick: isQuick, sides: {}, targets: {} }]),
  )
  return { date: '2026-01-01', machine, nodes: { 26: 'v26.0.0' }, packages: { pino: '10.0.0' }, rows, ...more }
}

describe('merged', () => {
  it('has the new rows, and the earlier rows that were not measured again, in the given order', () => {
    const earlier = summaryOf({ get: true, set: true, gone: true })
    const now = summaryOf({ set: false, scope: false }, { date: '2026-02-02' })

    const { date, rows } = merged(earlier, now, ['scope', 'get', 'set'])

    expect(date).toBe('2026-02-02')
    expect(Object.entries(rows).map(([name, { quick }]) => [name, quick])).toEqual([
      ['scope', false],
      ['get', true],
      ['set', false],
    ])
  })

  it.each<[what: string, more: Partial<Summary>]>([
    ['another machine', { machine: { ...machine, cores: 4 } }],
    ['another Node', { nodes: { 26: 'v26.1.0' } }],
    ['another version of a peer', { packages: { pino: '10.0.1' } }],
  ])('throws if the earlier run had %s', (_what, more) => {
    expect(() => merged(summaryOf({ get: false }, more), summaryOf({ set: false }), [])).toThrow(
      'machine, Node or packages differ',
    )
  })
})
