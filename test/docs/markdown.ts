/** One ```` ```ts ```` block of a Markdown file. */
export interface Block {
  /** The file of the block, for messages. */
  readonly file: string
  /** The number of the block's first line of code in the file, from 1. */
  readonly line: number
  readonly lines: readonly string[]
  /** `continues` belongs to the block before it; `serves` is a program that runs until it receives a signal. */
  readonly kind: 'runs' | 'continues' | 'serves'
}

interface Fence {
  readonly indent: string
  readonly ticks: string
  readonly info: string
  readonly line: number
}

/**
 * The `ts` blocks of a Markdown text, in order.
 *
 * @throws {Error} for a fence that the tests would ignore: an unknown word after `ts`, or another name for TypeScript.
 */
export function blocksOf(file: string, markdown: string): Block[] {
  const blocks: Block[] = []
  let open: Fence | undefined
  let code: string[] = []
  for (const [index, text] of markdown.split(/\r?\n/).entries()) {
    const fence = fenceAt(text, index + 1)
    if (open === undefined) {
      open = fence
      code = []
      continue
    }
    if (fence === undefined || !closes(fence, open)) {
      code.push(text.startsWith(open.indent) ? text.slice(open.indent.length) : text.trimStart())
      continue
    }
    const block = blockOf(file, open, code)
    if (block !== undefined) blocks.push(block)
    open = undefined
  }
  if (open !== undefined) throw new Error(`${file}:${open.line}: the block is never closed.`)
  return blocks
}

function fenceAt(text: string, line: number): Fence | undefined {
  const match = /^(\s*)(`{3,}|~{3,})([^`]*)$/.exec(text)
  if (match === null) return undefined
  return { indent: match[1] ?? '', ticks: match[2] ?? '', info: (match[3] ?? '').trim(), line }
}

function closes(fence: Fence, open: Fence): boolean {
  return fence.info === '' && fence.ticks.startsWith(open.ticks)
}

function blockOf(file: string, fence: Fence, lines: readonly string[]): Block | undefined {
  const [language = ''] = fence.info.split(/\s+/)
  const block = { file, line: fence.line + 1, lines }
  if (['typescript', 'mts', 'cts', 'tsx', 'js', 'javascript', 'mjs'].includes(language)) {
    throw new Error(`${file}:${fence.line}: a '${language}' block is not tested. Make it a 'ts' block.`)
  }
  if (language !== 'ts') return undefined
  if (fence.info === 'ts') return { ...block, kind: 'runs' }
  if (fence.info === 'ts continue') return { ...block, kind: 'continues' }
  if (fence.info === 'ts serves') return { ...block, kind: 'serves' }
  throw new Error(`${file}:${fence.line}: expected 'ts', 'ts continue' or 'ts serves', got '${fence.info}'.`)
}
