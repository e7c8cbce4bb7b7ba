import { readFileSync } from 'node:fs'
import { equivalents } from './equivalents.ts'
import { functionAt } from './function-at.ts'

export interface Score {
  readonly room: string
  /** The share of the mutants that a test noticed, by a failure or a timeout. */
  readonly percent: number
  readonly mutants: number
  /** The number of survivors in functions with a reason in equivalents.ts. */
  readonly explained: number
  /** The other survivors, each with its function, its line of code and the change. */
  readonly unexplained: readonly string[]
}

/** The used part of https://github.com/stryker-mutator/mutation-testing-elements, report schema 1. */
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
      const { line } = location.start
      const place = functionAt(source, line)
      if (status === 'Killed' || status === 'Timeout') killed++
      else if (status !== 'Survived' && status !== 'NoCoverage') continue
      else if (isExplained(file, place, source.split('\n')[line - 1] ?? '')) explained++
      else {
        const change = `${oneLine(cut(source, location))} → ${oneLine(replacement)}`
        unexplained.push(`${status} in ${place} at ${file}:${line}\n  ${change}`)
      }
      mutants++
    }
  }
  return { room, percent: mutants === 0 ? 100 : (100 * killed) / mutants, mutants, explained, unexplained }
}

function isExplained(file: string, place: string, line: string): boolean {
  // Without a subscriber, a published message has no effect. The marks and keys of a process only have to differ.
  if (/hasSubscribers|shareClass\(|processSingleton\(/.test(line)) return true
  return Object.hasOwn(equivalents[file.replace('src/', '')] ?? {}, place)
}

/** Reasons for files or functions that do not exist any more. */
export function staleReasons(read: (file: string) => string | undefined): string[] {
  return Object.entries(equivalents).flatMap(([file, functions]) => {
    const source = read(`src/${file}`) ?? ''
    const known = new Set(source.split('\n').map((_, i) => functionAt(source, i + 1)))
    return Object.keys(functions)
      .filter((name) => !known.has(name))
      .map((name) => `${file}: ${name}`)
  })
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
