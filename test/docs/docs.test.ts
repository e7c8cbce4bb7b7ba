import { globSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { compileModules, readDocument, root, runModule, type WrittenModule, writeModules } from './run-blocks.ts'

const files = ['README.md', ...globSync('docs/**/*.md', { cwd: root }).map((file) => file.replaceAll('\\', '/'))]
const modules = files.flatMap((file) => writeModules('docs', file, readDocument(file)))

describe('the examples in README and docs', () => {
  it('are found', () => {
    expect(modules.map(({ file }) => file)).toContain('README.md')
  })

  it('compile', { timeout: 60_000 }, async () => {
    expect(await compileModules('docs', modules)).toEqual([])
  })

  for (const module of modules) {
    it.skipIf(module.skip !== undefined)(titleOf(module), () => runModule(module))
  }
})

function titleOf({ name, skip, assertions }: WrittenModule): string {
  if (skip !== undefined) return `${name} is not run: ${skip}`
  if (assertions.length === 0) return `${name} runs`
  return `${name} holds ${assertions.length} assertions`
}
