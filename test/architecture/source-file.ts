import { globSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSync } from 'vite'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** A file of this repository; the path is relative to its root, with `/` on every system. */
export interface SourceFile {
  readonly path: string
  readonly text: string
}

export interface Import {
  /** Its place, such as `src/index.ts:3`. */
  readonly place: string
  readonly specifier: string
  /** The path of one of our own files, as `SourceFile` has it; undefined for a package or a builtin. */
  readonly target: string | undefined
  /** `type` is gone after the compiler; `lazy` is loaded when the code that needs it runs. */
  readonly kind: 'static' | 'type' | 'lazy'
}

export interface Node {
  readonly type: string
  readonly start: number
  readonly importKind?: string
  readonly exportKind?: string
  readonly source?: { readonly value?: unknown } | null
}

/** What matches, but for the packages that are installed in a fixture. */
export function pathsOf(pattern: string): string[] {
  const exclude = (path: string) => path.endsWith('node_modules')
  return globSync(pattern, { cwd: root, exclude }).map((path) => path.replaceAll('\\', '/'))
}

export function readSource(path: string): SourceFile {
  return { path, text: readFileSync(join(root, path), 'utf8') }
}

/** Everything a file imports or re-exports, with type imports; `import { type A }` is static, as it loads the module. */
export function importsOf({ path, text }: SourceFile): Import[] {
  return nodesOf({ path, text }).flatMap((node) => {
    const kind = kindOf(node)
    if (kind === undefined || node.source === null || node.source === undefined) return []
    const { value } = node.source
    const specifier = typeof value === 'string' ? value : 'a name computed at run time'
    const target = specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : undefined
    return [{ place: `${path}:${text.slice(0, node.start).split('\n').length}`, specifier, target, kind }]
  })
}

function kindOf({ type, importKind, exportKind }: Node): Import['kind'] | undefined {
  if (type === 'ImportExpression') return 'lazy'
  if (type === 'TSImportType' || importKind === 'type' || exportKind === 'type') return 'type'
  return /^(Import|ExportNamed|ExportAll)Declaration$/.test(type) ? 'static' : undefined
}

/** All nodes of the syntax tree, each before the nodes inside it. */
export function nodesOf({ path, text }: SourceFile): Node[] {
  return nodesIn(parseSync(path, text, { lang: 'ts' }).program)
}

export function nodesIn(value: unknown): Node[] {
  if (Array.isArray(value)) return value.flatMap(nodesIn)
  if (typeof value !== 'object' || value === null) return []
  const below = Object.values(value).flatMap(nodesIn)
  return 'type' in value ? [value as Node, ...below] : below
}
