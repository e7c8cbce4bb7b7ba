import { describe, expect, it } from 'vitest'
import { reasons } from '../../bench/reasons.ts'
import { rows } from '../../bench/rows/index.ts'

describe('reasons', () => {
  it('are given of rows that there are', () => {
    const names = rows.map(({ name }) => name)

    expect(Object.keys(reasons).filter((name) => !names.includes(name))).toEqual([])
  })
})
