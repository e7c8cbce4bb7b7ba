import { readFileSync } from 'node:fs'
import { equivalents } from './equivalents.ts'

export interface Score {
  readonly room: string
  /** Of all mutants that could be run, those that a test has noticed, by failing or by never ending. */
  readonly percent: number
  readonly mutants: number
  /** How many of the survivors have a reason in equivalents.ts. */
  readonly explained: number
  /** The others, with the line of code and what it was mutated to. */
  readonly unexplained: readonly string[]
}

/** What is used here of https://github.com/stryker-mutator/mutation-testing-elements, report schema 1. */
interface Report {
  readonly files: Readonly<Record<string, { readonly source: string; readonly mutants: readonly Mutant[] }>>
}

interface Mutant {
  readonly status:
    | 'Killed'
    | 'Timeout'
    | 'Survived'
    | 'NoCoverage'
    | 'CompileError'
    | 'RuntimeError'
    | 'Ignored'
    | 'Pending'
  readonly replacement?: string
  readonly location: { readonly start: Position; readonly end: Position }
}

interface Position {
  readonly line: number
  readonly column: number
}

export function readScore(room: string, report: string): Score {
  const { files } = JSON.parse(readFileSync(report, 'utf8')) as Report
  const unexplained: string[] = []
  let [killed, explained, mutants] = [0, 0, 0]
  for (const [file, { source, mutants: all }] of Object.entries(files)) {
    for (const { status, replacement = '', location } of all) {
      const change = `${oneLine(cut(source, location))} → ${oneLine(replacement)}`
      const line = source.split('\n')[location.start.line - 1]?.trim() ?? ''
      if (status === 'Killed' || status === 'Timeout') killed++
      else if (status !== 'Survived' && status !== 'NoCoverage') continue
      else if (isExplained(file, line, change)) explained++
      else unexplained.push(`${status} at ${file}:${location.start.line}\n  ${line}\n  ${change}`)
      mutants++
    }
  }
  return { room, percent: mutants === 0 ? 100 : (100 * killed) / mutants, mutants, explained, unexplained }
}

function isExplained(file: string, line: string, change: string): boolean {
  return equivalents.some(
    (known) => (known.file ?? file) === file && (known.line ?? line) === line && known.changes.includes(change),
  )
}

/** Columns and lines count from 1. */
function cut(source: string, { start, end }: Mutant['location']): string {
  const lines = source.split('\n').slice(start.line - 1, end.line)
  lines.push((lines.pop() ?? '').slice(0, end.column - 1))
  lines[0] = (lines[0] ?? '').slice(start.column - 1)
  return lines.join('\n')
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 100)
}
