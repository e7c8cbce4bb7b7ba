import { nodesIn, nodesOf, type SourceFile } from './source-file.ts'

interface Call {
  readonly callee?: { readonly property?: { readonly name?: string } }
  readonly arguments?: readonly unknown[]
}

/** A place in an object or a list. */
interface Place {
  readonly value?: unknown
  readonly elements?: readonly unknown[]
}

/** Where `toMatchObject` is given a pattern: it takes that for an object without properties, which every text matches. */
export function patternsAsObjects(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) =>
    nodesOf({ path, text })
      .filter((node) => (node as Call).callee?.property?.name === 'toMatchObject')
      .flatMap((call) => nodesIn((call as Call).arguments))
      .filter((node) => [(node as Place).value, ...((node as Place).elements ?? [])].some(isPattern))
      .map(
        ({ start }) => `${path}:${text.slice(0, start).split('\n').length} expects a pattern: use stringMatching().`,
      ),
  )
}

function isPattern(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'regex' in value
}
