import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { holds, listed, readHeldList, verdict } from '../../scripts/test-matrix/held-list.ts'

const result = { file: 'test/a.test.ts', failures: [] }

describe('docs/runtimes.md', () => {
  const list = readHeldList()

  it('lists existing test files, each with a verdict', () => {
    expect(list.size).toBeGreaterThan(100)
    expect([...list.keys()].filter((file) => !existsSync(file))).toEqual([])
    for (const verdicts of list.values()) expect(Object.keys(verdicts)).toEqual([...listed])
  })
})

describe('readHeldList', () => {
  it('reads the rows between its marks', () => {
    const text = [
      '| `test/before.test.ts` | holds | holds |',
      '<!-- written by `npm run test:matrix -- bun deno --write` -->',
      '| test file | Bun | Deno |',
      '| --- | --- | --- |',
      '| `test/a.test.ts`  | holds | 3 of 4 |',
      '<!-- end -->',
    ].join('\n')

    expect([...readHeldList(text)]).toEqual([['test/a.test.ts', { bun: holds, deno: '3 of 4' }]])
  })
})

describe('verdict', () => {
  it.each<[name: string, passed: number, failed: number, expected: string]>([
    ['all pass', 4, 0, holds],
    ['some fail', 3, 1, '3 of 4'],
    ['all fail', 0, 4, 'fails'],
  ])('is short if %s', (_, passed, failed, expected) => {
    expect(verdict({ ...result, passed, failed })).toBe(expected)
  })

  it('is "does not end" without a result', () => {
    expect(verdict(undefined)).toBe('does not end')
  })
})
