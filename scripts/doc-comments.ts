import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSync } from 'vite'

export const root: string = fileURLToPath(new URL('..', import.meta.url))

/** An exported name of the package, with its doc comment. */
export interface ExportedName {
  readonly name: string
  /** Where it is declared, such as `src/tasks/spawn.ts`. */
  readonly file: string
  /** The text of its doc comment; undefined without one. */
  readonly doc: string | undefined
  /** The properties and methods of an interface. */
  readonly members: readonly Member[]
  /** The interfaces that it extends. */
  readonly bases: readonly Base[]
}

/** An interface that another one extends. */
export interface Base {
  readonly name: string
  /** The members that it does not extend: those of an `Omit`. */
  readonly omitted: readonly string[]
}

export interface Member {
  readonly name: string
  readonly isOptional: boolean
  readonly doc: string | undefined
}

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [property: string]: unknown
}

interface Module {
  readonly text: string
  readonly body: readonly Node[]
  readonly comments: readonly {
    readonly type: string
    readonly value: string
    readonly start: number
    readonly end: number
  }[]
}

const modules = new Map<string, Module>()

function moduleOf(file: string): Module {
  let known = modules.get(file)
  if (known === undefined) {
    const text = readFileSync(join(root, file), 'utf8')
    const { program, comments } = parseSync(file, text, { lang: 'ts' }) as unknown as {
      program: { body: Node[] }
      comments: Module['comments']
    }
    modules.set(file, (known = { text, body: program.body, comments }))
  }
  return known
}

/** The names that a source file exports, where they are declared. Overloads are one name. */
export function exportsOf(file: string): ExportedName[] {
  const { body } = moduleOf(file)
  return body.flatMap((statement): ExportedName[] => {
    if (statement.type === 'ExportDefaultDeclaration') return []
    if (statement.type !== 'ExportNamedDeclaration') return []
    const { declaration, source, specifiers } = statement as Node & {
      declaration: Node | null
      source: { value: string } | null
      specifiers: { local: { name: string }; exported: { name: string } }[]
    }
    if (declaration !== null) return declared(file, statement, declaration)
    return specifiers.flatMap(({ local, exported }) => {
      const found =
        source === null ? visibleAs(file, local.name) : named(exportsOf(pathOf(file, source.value)), local.name)
      return found.map((one) => ({ ...one, name: exported.name }))
    })
  })
}

/** What a name means in a file: what the file declares, or what it imports from another file of the package. */
export function visibleAs(file: string, name: string): ExportedName[] {
  const own = named(localsOf(file), name)
  if (own.length > 0) return own
  return moduleOf(file).body.flatMap((statement) => {
    if (statement.type !== 'ImportDeclaration') return []
    const { source, specifiers } = statement as Node & {
      source: { value: string }
      specifiers: { local: { name: string }; imported?: { name: string } }[]
    }
    const imported = specifiers.find(({ local }) => local.name === name)?.imported?.name
    if (imported === undefined || !source.value.startsWith('.')) return []
    return named(exportsOf(pathOf(file, source.value)), imported)
  })
}

function named(names: readonly ExportedName[], wanted: string): ExportedName[] {
  return names.filter(({ name }) => name === wanted)
}

/** All names that a file declares, exported or not. */
export function localsOf(file: string): ExportedName[] {
  return moduleOf(file).body.flatMap((statement) => {
    const declaration = (statement['declaration'] as Node | null | undefined) ?? statement
    return declaration.type.endsWith('Declaration') ? declared(file, statement, declaration) : []
  })
}

function pathOf(file: string, specifier: string): string {
  return relative(root, join(root, dirname(file), specifier)).replaceAll('\\', '/')
}

function declared(file: string, statement: Node, declaration: Node): ExportedName[] {
  const doc = docBefore(file, statement.start)
  if (declaration.type === 'VariableDeclaration') {
    return (declaration['declarations'] as { id: { name: string } }[]).map(({ id }) => ({
      name: id.name,
      file,
      doc,
      members: [],
      bases: [],
    }))
  }
  if (!('id' in declaration) || declaration['id'] === null) return []
  const {
    id,
    body,
    extends: heritage = [],
  } = declaration as Node & {
    id: { name: string }
    body?: { body?: Node[] }
    extends?: Heritage[]
  }
  const members = declaration.type === 'TSInterfaceDeclaration' ? (body?.body ?? []) : []
  return [
    {
      name: id.name,
      file,
      doc,
      bases: heritage.map(baseOf),
      members: members.flatMap((member): Member[] => {
        const { key, optional } = member as Node & { key?: { name?: string }; optional?: boolean }
        if (key?.name === undefined) return []
        return [{ name: key.name, isOptional: optional === true, doc: docBefore(file, member.start) }]
      }),
    },
  ]
}

interface Heritage {
  readonly expression: Node
  readonly typeArguments?: { readonly params: readonly Node[] } | null
}

/** `Omit<Base, 'a' | 'b'>` is `Base`, and a member of a namespace is named with it. */
function baseOf({ expression, typeArguments }: Heritage): Base {
  const name = textOf(expression)
  const [base, omitted] = typeArguments?.params ?? []
  if (name !== 'Omit' || base === undefined || omitted === undefined) return { name, omitted: [] }
  const { types = [omitted] } = omitted as Node & { types?: readonly Node[] }
  const literals = types as readonly { literal?: { value?: unknown } }[]
  return {
    name: textOf((base as Node & { typeName: Node }).typeName),
    omitted: literals.map(({ literal }) => String(literal?.value)),
  }
}

/** A name, such as `Options.Consume`. */
function textOf(node: Node): string {
  const { name, object, property, left, right } = node as Partial<Record<string, unknown>>
  if (typeof name === 'string') return name
  return `${textOf((object ?? left) as Node)}.${textOf((property ?? right) as Node)}`
}

/** The doc comment that ends right before a position. */
function docBefore(file: string, position: number): string | undefined {
  const { text, comments } = moduleOf(file)
  const found = comments.findLast(({ end }) => end <= position)
  if (found === undefined || found.type !== 'Block' || !found.value.startsWith('*')) return undefined
  if (text.slice(found.end, position).trim() !== '') return undefined
  return found.value
    .split('\n')
    .map((line) => line.replace(/^\s*\*\s?/, ''))
    .join('\n')
    .trim()
}
