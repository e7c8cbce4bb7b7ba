import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { parseSync } from 'vite'

/** A node of the syntax tree of a declaration file. */
interface Node {
  readonly type: string
  readonly [property: string]: unknown
}

/** A name in a declaration file of the package. */
interface Name {
  readonly path: string
  readonly name: string
}

interface Declarations {
  /** The declarations of each name of the file. */
  readonly own: ReadonlyMap<string, readonly Node[]>
  /** Where the imported names of the file are exported. */
  readonly imported: ReadonlyMap<string, Name>
  /** The exported names, and what each of them is. */
  readonly exported: ReadonlyMap<string, Name>
}

const parsed = new Map<string, Declarations>()

/**
 * The types that a user sees in a declaration of `entries`, and that no entry exports. A type that its file does not
 * export either is a part of the declarations that use it.
 */
export function internalTypes(entries: readonly string[]): string[] {
  const exported = entries.flatMap((path) => [...declarationsOf(path).exported.values()].map(origin))
  const isPublic = new Set(exported.map(keyOf))
  const reached = exported.flatMap((user) =>
    typesIn(user)
      .filter((used) => !isPublic.has(keyOf(used)))
      .map((used) => `${user.name} of ${user.path} reaches ${used.name} of ${used.path}, which no subpath exports.`),
  )
  return [...new Set(reached)]
}

/** The types of other declarations that a declaration refers to. */
function typesIn(start: Name): Name[] {
  const found: Name[] = []
  const parts = new Set([keyOf(start)])
  const waiting = [start]
  for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) {
    const { path } = part
    const { own, exported } = declarationsOf(path)
    for (const name of (own.get(part.name) ?? []).flatMap(referencesIn)) {
      const used = resolved({ path, name })
      if (used === undefined || parts.has(keyOf(used))) continue
      const isPart = used.path === path && !exported.has(used.name)
      parts.add(keyOf(used))
      if (isPart) waiting.push(used)
      else found.push(used)
    }
  }
  return found
}

/** What a name in a file is; undefined for a global, a type parameter and a type of another package. */
function resolved({ path, name }: Name): Name | undefined {
  const { own, imported } = declarationsOf(path)
  if (own.has(name)) return { path, name }
  const from = imported.get(name)
  return from === undefined ? undefined : origin(from)
}

/** Follows re-exports to the declaration. */
function origin(from: Name): Name {
  let at = from
  for (;;) {
    const next = declarationsOf(at.path).exported.get(at.name)
    if (next === undefined || keyOf(next) === keyOf(at)) return at
    at = next
  }
}

function keyOf({ path, name }: Name): string {
  return `${path} ${name}`
}

function declarationsOf(path: string): Declarations {
  const known = parsed.get(path) ?? parse(path)
  parsed.set(path, known)
  return known
}

function parse(path: string): Declarations {
  const own = new Map<string, Node[]>()
  const imported = new Map<string, Name>()
  const exported = new Map<string, Name>()
  const { program } = parseSync(path, readFileSync(path, 'utf8'), { lang: 'ts' })
  for (const statement of program.body as unknown as Node[]) {
    const source = (statement['source'] as { value: string } | null | undefined)?.value
    const from = source?.startsWith('.') === true ? declarationFile(path, source) : undefined
    const isExport = statement.type.startsWith('Export')
    for (const specifier of (statement['specifiers'] ?? []) as Node[]) {
      const local = nameIn(specifier['local'])
      if (isExport && (from !== undefined || source === undefined))
        exported.set(nameIn(specifier['exported']), { path: from ?? path, name: local })
      if (!isExport && from !== undefined)
        imported.set(local, {
          path: from,
          name: specifier['imported'] === undefined ? 'default' : nameIn(specifier['imported']),
        })
    }
    const declaration = (isExport ? statement['declaration'] : statement) as Node | null | undefined
    for (const name of declaration === null || declaration === undefined ? [] : namesOf(declaration)) {
      own.set(name, [...(own.get(name) ?? []), declaration as Node])
      if (isExport) exported.set(name, { path, name })
    }
    if (statement.type === 'ExportDefaultDeclaration' && declaration?.type === 'Identifier')
      exported.set('default', { path, name: nameIn(declaration) })
  }
  // A local name that is exported may be an import.
  for (const [name, target] of exported) {
    const from = target.path === path && !own.has(target.name) ? imported.get(target.name) : undefined
    if (from !== undefined) exported.set(name, from)
  }
  return { own, imported, exported }
}

function declarationFile(path: string, specifier: string): string {
  return posix.join(posix.dirname(path), specifier).replace(/\.[jt]s$/, '.d.ts')
}

function namesOf(declaration: Node): string[] {
  if (declaration.type === 'VariableDeclaration') {
    return (declaration['declarations'] as Node[]).map(({ id }) => nameIn(id))
  }
  return declaration['id'] === undefined || declaration['id'] === null ? [] : [nameIn(declaration['id'])]
}

function nameIn(node: unknown): string {
  const { name, value } = node as { name?: string; value?: string }
  return name ?? value ?? ''
}

/** The names of the types that a declaration refers to. */
function referencesIn(node: unknown): string[] {
  if (Array.isArray(node)) return node.flatMap(referencesIn)
  if (typeof node !== 'object' || node === null) return []
  const { type, typeName, exprName, expression, superClass } = node as Node
  const named = {
    TSTypeReference: typeName,
    TSTypeQuery: exprName,
    TSClassImplements: expression,
    TSInterfaceHeritage: expression,
  }
  const referred = superClass ?? named[type as keyof typeof named]
  const below = Object.values(node).flatMap(referencesIn)
  return referred === undefined || referred === null ? below : [leftmost(referred as Node), ...below]
}

function leftmost(node: Node): string {
  return node.type === 'TSQualifiedName' ? leftmost(node['left'] as Node) : nameIn(node)
}
