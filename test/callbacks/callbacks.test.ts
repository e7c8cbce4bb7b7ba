import { execFile } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import { misbehaviours } from './misbehaviours.ts'
import { type FunctionOption, functionOptions } from './options.ts'
import type { Outcome } from './run.ts'

describe('a function of the program that misbehaves', () => {
  let outcomes: Outcome[] = []

  beforeAll(async () => {
    const run = fileURLToPath(new URL('run.ts', import.meta.url))
    const args = ['--conditions=logical-context-source', run]
    const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 26 })
    outcomes = JSON.parse(stdout) as Outcome[]
  }, 120_000)

  it.each(functionOptions)('ends nothing, loses nothing and is reported: $name', (option) => {
    const own = outcomes.filter((outcome) => outcome.option === option.name)

    expect(own).toHaveLength(misbehaviours.length)
    expect(own.flatMap((outcome) => problemsOf(outcome, option))).toEqual([])
  })

  it('is tried for every option that takes a function', () => {
    const source = globSync('src/**/*.ts').map((file) => readFileSync(file, 'utf8'))
    const declared = source.flatMap((text) =>
      Array.from(text.matchAll(/(\w+): a(?:Sync)?Function\b/g), ([, name = '']) => name),
    )
    // `trust` is made from these.
    const parts = ['trusts', 'decide']
    const tried = functionOptions.map(({ name }) => name.split(' ')[0])

    expect(declared.filter((name) => ![...tried, ...parts].includes(name))).toEqual([])
    expect(declared.length).toBeGreaterThan(20)
  })
})

/** What is wrong with an outcome. */
function problemsOf({ misbehaviour: name, program, uncaught, lines }: Outcome, option: FunctionOption): string[] {
  const problems = uncaught.map((error) => `${name}: uncaught ${error}`)
  const isRefused = program === 'refused' && name.startsWith('is an async function') && !option.mayBeAsync
  if (isRefused) return problems
  if (program !== 'worked') problems.push(`${name}: the program: ${program}`)

  const fails = misbehaviours.some((known) => known.name === name && known.fails)
  const [keyword = ''] = option.name.split(' ')
  const { reports: expected = 1, reportsAlso = /./ } = option
  const reports = lines.filter((line) => (line.includes(keyword) || line.includes('planted')) && /fail/.test(line))
  if (fails && expected > 0 && reports.length !== expected) problems.push(`${name}: ${reports.length} reports`)
  if (reports.length > Math.max(expected, 2)) problems.push(`${name}: ${reports.length} reports`)
  for (const report of reports) if (!reportsAlso.test(report)) problems.push(`${name}: only ${report.slice(0, 100)}`)
  return problems
}
