import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { proseOf } from './links.ts'
import { root } from './run-blocks.ts'

/** The files and folders that a text names in code marks and that do not exist. */
export function missingPaths(file: string, markdown: string): string[] {
  return proseOf(markdown).flatMap((line, index) =>
    Array.from(line.matchAll(/`((?:\.ci|bench|docs|examples|scripts|src|test)\/[^`\s]*)`/g), (match) => match[1] ?? '')
      // Patterns such as `<room>` and `*`.
      .filter((path) => /^[\w./-]+$/.test(path) && !existsSync(join(root, path)))
      .map((path) => `${file}:${index + 1}: ${path}`),
  )
}

/** The npm scripts that a text names, also in its blocks. */
export function scriptsIn(markdown: string): string[] {
  const runs = Array.from(markdown.matchAll(/\bnpm run ([\w:-]+)/g), (match) => match[1] ?? '')
  const short = Array.from(markdown.matchAll(/\bnpm (test|start)\b/g), (match) => match[1] ?? '')
  return [...new Set([...runs, ...short])]
}
