import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import manifest from '../package.json' with { type: 'json' }
import { exportsOf } from '../scripts/doc-comments.ts'
import { optionsPage, optionRows } from '../scripts/options-page.ts'

const sources = Object.values(manifest.exports).flatMap((entry) =>
  typeof entry === 'string' ? [] : [entry['logical-context-source'].replace('./', '')],
)

describe('the API reference', () => {
  it.each(sources)('has a doc comment for each exported name of %s', (source) => {
    const names = exportsOf(source)

    const missing = names.filter(({ name }) => !names.some((other) => other.name === name && other.doc !== undefined))

    expect(names.length).toBeGreaterThan(0)
    expect(missing.map(({ name, file }) => `${name} in ${file}`)).toEqual([])
  })

  it('has a doc comment for each option, and a default for each that is optional', () => {
    const rows = optionRows()

    expect(rows.length).toBeGreaterThan(90)
    expect(rows.filter(({ name, meaning }) => name !== '…' && meaning === '')).toEqual([])
    expect(rows.filter((row) => row.default === 'not set')).toEqual([])
  })

  it('lists the options of spawn with their units and defaults', () => {
    const row = optionRows().find(({ options, name }) => options === 'SpawnOptions' && name === 'timeoutMs')

    expect(row).toMatchObject({ unit: 'ms', default: 'no limit' })
  })

  it('has a current page of all options: run node scripts/options-page.ts', () => {
    expect(readFileSync('docs/options.md', 'utf8')).toBe(optionsPage())
  })
})
