import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { reasons } from '../../bench/reasons.ts'

const summary = new URL('../../docs/benchmarks/summary.json', import.meta.url)
const { rows } = JSON.parse(readFileSync(summary, 'utf8')) as { rows: Record<string, unknown> }

describe('reasons', () => {
  it('belong to rows that were measured', () => {
    expect(Object.keys(reasons).filter((name) => !(name in rows))).toEqual([])
  })
})
