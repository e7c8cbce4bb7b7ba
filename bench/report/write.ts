import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { barChart } from './bars.ts'
import { curveChart } from './curves.ts'
import { pageOf } from './page.ts'
import type { Results } from './results.ts'
import { sections } from './sections.ts'

const root = join(import.meta.dirname, '../..')
const docs = join(root, 'docs')
const folder = join(docs, 'benchmarks')

export function readResults(): Results {
  return JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')) as Results
}

/** Writes the page, its charts and the results that they are made of. */
export function writeReport(results: Results): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'results.json'), JSON.stringify(results))
  writeFileSync(join(docs, 'benchmarks.md'), pageOf(results))
  const [node = ''] = Object.keys(results.nodes).toSorted((a, b) => Number(b) - Number(a))
  for (const { name, title, rows: names, figure } of sections) {
    const rows = names.flatMap((of) => results.rows.find((row) => row.name === of) ?? [])
    if (figure !== undefined && rows.length > 0) {
      writeFileSync(join(folder, `${name}.svg`), barChart(title, rows, node, figure))
    }
    for (const row of rows) {
      if (row.kind === 'growth') writeFileSync(join(folder, `${row.name}.svg`), curveChart(row, node))
    }
  }
  format('docs/benchmarks.md', 'docs/benchmarks/results.json')
}

function format(...files: string[]): void {
  const result = spawnSync('npx', ['oxfmt', ...files], {
    cwd: root,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  })
  if (result.status !== 0) throw new Error(`oxfmt has failed:\n${result.stderr}`)
}
