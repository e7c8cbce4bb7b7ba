// `npm run test:matrix -- node22 bun`: runs the tests on the named runtimes, by default on all. The Node versions must pass.
// `docs/runtimes.md` lists the test files that pass on Bun and Deno: these must still pass. `--write` writes the page;
// `--only=test/clients` runs these tests only.
import { existsSync, globSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type HeldList, holds, listed, readHeldList, verdict, writeHeldList } from './test-matrix/held-list.ts'
import { type FileResult, runSuite, type Setting } from './test-matrix/suite.ts'

const hooks = 'async_hooks'
const frame = 'AsyncContextFrame'
const settings: readonly (Setting & { carriedBy: string })[] = [
  { name: 'node22', runtime: 'node22', carriedBy: hooks },
  { name: 'node22-frame', runtime: 'node22', nodeOptions: '--experimental-async-context-frame', carriedBy: frame },
  { name: 'node24', runtime: 'node24', carriedBy: frame },
  { name: 'node24-hooks', runtime: 'node24', nodeOptions: '--no-async-context-frame', carriedBy: hooks },
  { name: 'node26', runtime: 'node26', carriedBy: frame },
  { name: 'node26-hooks', runtime: 'node26', nodeOptions: '--no-async-context-frame', carriedBy: hooks },
  { name: 'bun', runtime: 'bun', flags: ['--bun'], args: ['--pool=threads'], carriedBy: "Bun's own" },
  { name: 'deno', runtime: 'deno', flags: ['run', '-A', '--v8-flags=--expose-gc'], carriedBy: "Deno's own" },
]
const suiteLimitMs = 15 * 60_000
/** The limit for one file, including the start of the runtime. */
const fileLimitMs = 90_000

const { values, positionals } = parseArgs({
  options: { write: { type: 'boolean' }, only: { type: 'string', default: '' } },
  allowPositionals: true,
})
const unknown = positionals.find((name) => !settings.some((setting) => setting.name === name))
if (unknown !== undefined) {
  throw new TypeError(`expected some of ${settings.map(({ name }) => name).join(', ')}, got '${unknown}'.`)
}

const list = readHeldList()
const found = new Map<string, Record<string, string>>()
const table: object[] = []
const figures: string[] = []
let broken = 0
for (const setting of settings) {
  const { name, carriedBy } = setting
  if (positionals.length > 0 && !positionals.includes(name)) continue
  const isListed = listed.includes(name as never)
  const results = isListed ? await byFile(setting) : await atOnce(setting)
  const passed = sum(results, 'passed')
  const failed = sum(results, 'failed')
  const files = `${results.filter((result) => verdict(result) === holds).length} of ${results.length}`
  table.push({ runtime: name, 'carried by': carriedBy, 'files that hold': files, passed, failed })
  figures.push(`${name} ${passed} passed, ${failed} failed`)
  broken += isListed ? compare(name, results) : failed
}

if (values.write === true) writeHeldList(merged(list, found))
console.table(table)
if (broken > 0) process.exitCode = 1
console.log(`test:matrix: ${figures.join('; ')}`)

/** Runs the suite on a runtime that must pass. A run without a report counts as a failure. */
async function atOnce(setting: Setting): Promise<FileResult[]> {
  const results = await runSuite(setting, { files: values.only === '' ? [] : [values.only], limitMs: suiteLimitMs })
  if (results === undefined) {
    console.error(`${setting.name}: no report.`)
    return [{ file: '', passed: 0, failed: 1, failures: [] }]
  }
  for (const { file, failures } of results) {
    for (const failure of failures) console.error(`${setting.name}: ${file}: ${failure}`)
  }
  return results
}

/** Runs each file in its own process: a file that hangs does not affect the others. */
async function byFile(setting: Setting): Promise<FileResult[]> {
  const results: FileResult[] = []
  const files = globSync('test/**/*.test.ts').filter((file) => file.startsWith(values.only))
  const next = files.toSorted().values()
  const runNext = async () => {
    for (const file of next) {
      const [result] = (await runSuite(setting, { files: [file], limitMs: fileLimitMs })) ?? []
      results.push(result ?? { file, passed: 0, failed: 1, failures: ['does not end'] })
      found.set(file, { ...found.get(file), [setting.name]: verdict(result) })
    }
  }
  await Promise.all([runNext(), runNext()])
  return results
}

/** Prints the failures, and counts the files that passed before. */
function compare(runtime: string, results: readonly FileResult[]): number {
  let stopped = 0
  for (const { file, failures } of results) {
    if (failures.length === 0) continue
    const before = list.get(file)?.[runtime]
    if (before === holds) stopped++
    console.log(`${runtime}: ${file} ${before === holds ? 'PASSED BEFORE, FAILS NOW' : 'fails'}`)
    for (const failure of failures) console.log(`  ${failure}`)
  }
  return stopped
}

/** The known results of files that exist, and the new results. */
function merged(before: HeldList, after: HeldList): HeldList {
  const known = [...before].filter(([file]) => existsSync(file))
  return new Map([
    ...known,
    ...[...after].map(([file, verdicts]) => [file, { ...before.get(file), ...verdicts }] as const),
  ])
}

function sum(results: readonly FileResult[], column: 'passed' | 'failed'): number {
  return results.reduce((total, result) => total + result[column], 0)
}
