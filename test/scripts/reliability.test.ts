import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type Figures, reliabilityPage } from '../../scripts/reliability/page.ts'
import { promises } from '../../scripts/reliability/promises.ts'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const figures = JSON.parse(read('docs/reliability.json')) as Figures
const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }

describe('docs/reliability.md', () => {
  it('equals the page of the promises and their last figures', () => {
    expect(read('docs/reliability.md')).toBe(reliabilityPage(figures))
  })

  it.each(promises.map(({ command }) => command))('names %s, a script of this package', (command) => {
    expect(Object.keys(scripts)).toContain(command)
  })

  it.each(Object.entries(figures))('has the date and the machine of the figure of %s', (_command, seen) => {
    expect(seen).toEqual({
      figure: expect.stringMatching(/\d/),
      date: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
      machine: expect.stringMatching(/^\d+ cores of /),
      node: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      minutes: expect.any(Number),
    })
  })

  it('has no other figures', () => {
    expect(
      Object.keys(figures).filter((command) => !promises.some((promised) => promised.command === command)),
    ).toEqual([])
  })
})
