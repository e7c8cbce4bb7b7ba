import { parseSync } from 'vite'
import type { Block } from './markdown.ts'

/** A module of one block and the blocks that continue it. */
export interface BlockModule {
  readonly file: string
  /** The file and the line where the module begins: `README.md:12`. */
  readonly name: string
  /** Each line of code has its line number of the Markdown file, so that stacks and diagnostics are right. */
  readonly text: string
  /** The lines of the assertions. */
  readonly assertions: readonly number[]
  /** Whether it is a program without assertions that runs until it receives a signal. */
  readonly serves: boolean
}

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
}

interface Statement extends Node {
  readonly expression: Node
  readonly awaits: boolean
}

interface Edit {
  readonly at: number
  readonly insert: string
}

/** The modules of one Markdown file. They import `Sheet` from `assertionsPath`. */
export function modulesOf(blocks: readonly Block[], assertionsPath: (first: Block) => string): BlockModule[] {
  const groups: [Block, ...Block[]][] = []
  for (const block of blocks) {
    const group = block.kind === 'continues' ? groups.at(-1) : undefined
    if (group === undefined && block.kind === 'continues') {
      throw new Error(`${block.file}:${block.line}: there is no block before it to continue.`)
    }
    if (group === undefined) groups.push([block])
    else group.push(block)
  }
  return groups.map((group) => moduleOf(group, assertionsPath(group[0])))
}

function moduleOf(group: readonly [Block, ...Block[]], assertionsPath: string): BlockModule {
  const [{ file, line, kind }] = group
  const serves = kind === 'serves'
  const name = `${file}:${line}`
  const lines: string[] = []
  for (const block of group) for (const [index, text] of block.lines.entries()) lines[block.line - 1 + index] = text
  // Line 1 is free: in the Markdown file it is the fence or text.
  if (!serves) lines[0] = `import { Sheet } from '${assertionsPath}'; const $sheet = Sheet.of('${name}')`
  const source = `${Array.from(lines, (text) => text ?? '').join('\n')}\nexport {}\n`
  const { edits, assertions } = editsOf(file, source)
  if (serves && assertions.length > 0) throw new Error(`${file}:${assertions[0]}: a block that serves asserts nothing.`)
  return { file, name, text: apply(edits, source), assertions, serves }
}

function editsOf(file: string, source: string): { edits: Edit[]; assertions: number[] } {
  const { program, comments, errors } = parseSync(`${file}.ts`, source, { lang: 'ts' })
  const [error] = errors
  if (error !== undefined) throw new Error(`${file}:${lineAt(source, error.labels[0]?.start ?? 0)}: ${error.message}`)
  const statements = statementsIn(program, true)
  const edits: Edit[] = []
  const assertions: number[] = []
  for (const comment of comments) {
    const expected = comment.type === 'Line' ? /^\s*=>\s*(.*?)\s*$/.exec(comment.value)?.[1] : undefined
    if (expected === undefined) continue
    const line = lineAt(source, comment.start)
    const statement = statements.find(
      ({ end }) => end <= comment.start && /^[ \t]*$/.test(source.slice(end, comment.start)),
    )
    if (statement === undefined) {
      throw new Error(`${file}:${line}: '// =>' has to follow an expression that is a statement of its own.`)
    }
    edits.push(...assertionAround(statement, line, expected))
    assertions.push(line)
  }
  return { edits, assertions }
}

/** The text around an expression. After `throws` comes the error's code or name; everything else is a JavaScript value. */
function assertionAround({ expression, awaits }: Statement, line: number, expected: string): [Edit, Edit] {
  const code = /^throws (\w+)$/.exec(expected)?.[1]
  if (code === undefined) return around(expression, `$sheet.equal(${line}, (`, `), (${expected}));`)
  if (awaits) return around(expression, `await $sheet.rejects(${line}, async () => (`, `), '${code}');`)
  return around(expression, `$sheet.throws(${line}, () => (`, `), '${code}');`)
}

function around({ start, end }: Node, before: string, after: string): [Edit, Edit] {
  return [
    { at: start, insert: before },
    { at: end, insert: after },
  ]
}

/** All expression statements below a node, and whether `await` is allowed there. */
function statementsIn(value: unknown, awaits: boolean): Statement[] {
  if (Array.isArray(value)) return value.flatMap((item) => statementsIn(item, awaits))
  if (typeof value !== 'object' || value === null) return []
  const node = value as Node & { readonly async?: boolean; readonly expression?: Node }
  const inner = /Function/.test(node.type) ? node.async === true : awaits
  const below = Object.values(node).flatMap((child) => statementsIn(child, inner))
  if (node.type !== 'ExpressionStatement' || node.expression === undefined) return below
  const { type, start, end, expression } = node
  return [...below, { type, start, end, expression, awaits }]
}

function apply(edits: readonly Edit[], source: string): string {
  return edits
    .toSorted((left, right) => right.at - left.at)
    .reduce((text, { at, insert }) => text.slice(0, at) + insert + text.slice(at), source)
}

function lineAt(source: string, offset: number): number {
  return source.slice(0, offset).split('\n').length
}
