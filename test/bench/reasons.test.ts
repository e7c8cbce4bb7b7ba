import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { reasons } from '../../bench/reasons.ts'

const results = new URL('../../docs/benchmarks/results.json', import.meta.url)
const { rows } = JSON.parse(readFileSync(results, 'utf8')) as { rows: { name: string }[] }

describe('reasons', () => {
  it('are given of rows that were measured', () => {
    const names = rows.map(({ name }) => name)

    expect(Object.keys(reasons).filter((name) => !names.includes(name))).toEqual([])
  })
})
