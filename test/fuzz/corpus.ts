import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { FuzzTarget } from './target.ts'

const folder = fileURLToPath(new URL('corpus/', import.meta.url))

/** `reached`: inputs that came to code where none before had been. `failed`: those on which a promise was broken once. */
export type CorpusFile = 'reached' | 'failed'

/** The kept inputs of a target. */
export function readCorpus({ name }: FuzzTarget, file: CorpusFile): string[] {
  try {
    return JSON.parse(readFileSync(`${folder}${name}/${file}.json`, 'utf8')) as string[]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** Adds inputs, one a line, as JSON: some are of characters that an editor would change. */
export function addToCorpus(target: FuzzTarget, file: CorpusFile, inputs: readonly string[]): void {
  if (inputs.length === 0) return
  const all = [...new Set([...readCorpus(target, file), ...inputs])]
  mkdirSync(`${folder}${target.name}`, { recursive: true })
  writeFileSync(`${folder}${target.name}/${file}.json`, `${JSON.stringify(all, undefined, 2)}\n`)
}

/** The names of the targets of which something is kept. */
export function keptTargets(): string[] {
  return readdirSync(folder)
}
