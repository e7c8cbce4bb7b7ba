import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { FileResult } from './suite.ts'

/** The verdicts of the page on each test file, by the name of the runtime. */
export type HeldList = ReadonlyMap<string, Readonly<Record<string, string>>>

/** The runtimes on the page, in the order of its columns. */
export const listed = ['bun', 'deno'] as const

const page = new URL('../../docs/runtimes.md', import.meta.url)
const begin = '<!-- written by `npm run test:matrix -- bun deno --write` -->'
const end = '<!-- end -->'

export const holds = 'holds'

/** The result of a file's tests in one to three words. Without a result, the run did not end. */
export function verdict(result: FileResult | undefined): string {
  if (result === undefined) return 'does not end'
  const { passed, failed } = result
  if (failed === 0) return holds
  return passed === 0 ? 'fails' : `${passed} of ${passed + failed}`
}

export function readHeldList(text = readFileSync(page, 'utf8')): HeldList {
  const rows = text.slice(...place(text)).matchAll(/^\| `([^`]+)` *\|(.*)\|$/gm)
  return new Map(
    Array.from(rows, ([, file = '', cells = '']) => {
      const verdicts = cells.split('|').map((cell) => cell.trim())
      return [file, Object.fromEntries(listed.map((runtime, column) => [runtime, verdicts[column] ?? '']))]
    }),
  )
}

export function writeHeldList(list: HeldList): void {
  const rows = [...list]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, verdicts]) => {
      const cells = listed.map((runtime) => verdicts[runtime] ?? '')
      return `| \`${file}\` | ${cells.join(' | ')} |`
    })
  const table = ['| test file | Bun | Deno |', '| --- | --- | --- |', ...rows].join('\n')
  const text = readFileSync(page, 'utf8')
  const [from, to] = place(text)
  writeFileSync(page, `${text.slice(0, from)}\n\n${table}\n\n${text.slice(to)}`)
  spawnSync('npx', ['oxfmt', fileURLToPath(page)], { stdio: 'inherit', shell: process.platform === 'win32' })
}

/** Where the list begins and ends in the page. */
function place(text: string): [from: number, to: number] {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from === -1 || to < from) throw new Error(`docs/runtimes.md has no list from ${begin} to ${end}.`)
  return [from + begin.length, to]
}
