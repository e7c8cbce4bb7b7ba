import { importsOf, nodesOf, type SourceFile } from './source-file.ts'

const longest = 300
/** A shorter file is an idea only if several files need it, or if users import it. */
const shortest = 40
const vague = ['utils', 'util', 'common', 'misc', 'helpers', 'helper', 'core', 'shared']

export function tooLong(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) => {
    const lines = linesOf(text)
    return lines > longest ? [`${path} has ${lines} lines, at most ${longest} are allowed: it holds two ideas.`] : []
  })
}

/**
 * Short files with one user, if they fit there, except the entries of the package: a helper with one user is in the file
 * of its user.
 */
export function helpersWithOneUser(files: readonly SourceFile[], entries: readonly string[]): string[] {
  const imports = files.map((file) => ({ ...file, targets: importsOf(file).map(({ target }) => target) }))
  return files.flatMap(({ path, text }) => {
    const lines = linesOf(text)
    const users = imports.filter(({ targets }) => targets.includes(path))
    const [user] = users
    // A script writes it.
    if (text.startsWith('// Written by ')) return []
    if (lines >= shortest || entries.includes(path) || user === undefined || users.length > 1) return []
    // What an index re-exports is public.
    if (user.path.endsWith('index.ts') || linesOf(user.text) + lines > longest) return []
    return [`${path} has ${lines} lines and one user: move it into ${user.path}.`]
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

/** Declarations with `using`: Node 22 cannot parse them, and the published files keep them. */
export function syntaxOfLaterNodes(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) =>
    nodesOf(file)
      .filter((node) => /\busing$/.test(String((node as { kind?: unknown }).kind)))
      .map(({ start }) => `${file.path}:${file.text.slice(0, start).split('\n').length} declares with 'using'.`),
  )
}

function linesOf(text: string): number {
  return text.replace(/\n$/, '').split('\n').length
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[^]*?\*\/|(?<=^|\s)\/\/.*$/gm, '')
}
