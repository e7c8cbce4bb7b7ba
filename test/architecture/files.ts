import type { SourceFile } from './source-file.ts'

const longest = 300
const vague = ['utils', 'util', 'common', 'misc', 'helpers', 'helper', 'core', 'shared']

export function tooLong(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) => {
    const lines = text.replace(/\n$/, '').split('\n').length
    return lines > longest ? [`${path} has ${lines} lines, at most ${longest} are allowed: it holds two ideas.`] : []
  })
}

/** Names that say nothing of what is inside. */
export function vagueNames(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    const name = path.split('/').find((part) => vague.includes(part.replace(/\..*$/, '')))
    return name === undefined ? [] : [`${path}: '${name}' says nothing of what is inside.`]
  })
}

export function notESModules(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) => {
    if (/\.c[jt]s$/.test(path)) return [`${path} is CommonJS by its name.`]
    const found = /\brequire\(|\bcreateRequire\b|\bmodule\.exports\b|\b__(?:dirname|filename)\b/.exec(
      withoutComments(text),
    )
    return found === null ? [] : [`${path} uses ${found[0].replace('(', '')}, which is CommonJS.`]
  })
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[^]*?\*\/|(?<=^|\s)\/\/.*$/gm, '')
}
