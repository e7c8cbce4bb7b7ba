import { describe, expect, it } from 'vitest'
import { reasons } from '../../bench/reasons.ts'
import { sections } from '../../bench/report/sections.ts'

describe('reasons', () => {
  it('belong to rows of the page', () => {
    const rows = sections.flatMap((section) => section.rows)

    expect(Object.keys(reasons).filter((name) => !rows.includes(name))).toEqual([])
  })
})
