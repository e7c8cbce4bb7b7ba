import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { readDocument, root } from './run-blocks.ts'

/** The lines of a Markdown text. The lines of fenced blocks are empty. */
export function proseOf(markdown: string): string[] {
  let fence: string | undefined
  return markdown.split(/\r?\n/).map((line) => {
    const ticks = /^\s*(`{3,}|~{3,})/.exec(line)?.[1]
    if (fence === undefined && ticks === undefined) return line
    if (fence === undefined) fence = ticks
    else if (ticks !== undefined && line.trim().startsWith(fence)) fence = undefined
    return ''
  })
}

/** The broken links of a Markdown file: to a missing file or heading. Links to web pages are not checked. */
export function brokenLinks(file: string, markdown: string): string[] {
  return proseOf(markdown).flatMap((line, index) =>
    targetsIn(line)
      .filter((target) => !/^[a-z][a-z+.-]*:/i.test(target))
      .filter((target) => !leadsSomewhere(file, markdown, target))
      .map((target) => `${file}:${index + 1}: ${target}`),
  )
}

/** The anchors of a text's headings, as GitHub makes them. */
export function anchorsOf(markdown: string): string[] {
  const seen = new Map<string, number>()
  return proseOf(markdown).flatMap((line) => {
    const heading = /^#{1,6} +(.+?)(?: +#+)?\s*$/.exec(line)?.[1]
    if (heading === undefined) return []
    const words = heading.replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const anchor = words.replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, '').replaceAll(' ', '-')
    const count = seen.get(anchor) ?? 0
    seen.set(anchor, count + 1)
    return [count === 0 ? anchor : `${anchor}-${count}`]
  })
}

/** The targets of links and pictures, and of definitions: `[label]: target`. */
function targetsIn(line: string): string[] {
  const text = line.replaceAll(/`[^`]*`/g, '')
  const definition = /^\s*\[[^\]]+\]:\s+(\S+)/.exec(text)?.[1]
  const inline = Array.from(text.matchAll(/\]\(([^)\s]+)[^)]*\)/g), (match) => match[1] ?? '')
  return definition === undefined ? inline : [definition, ...inline]
}

function leadsSomewhere(file: string, markdown: string, target: string): boolean {
  const [path = '', anchor] = target.split('#')
  if (path === '') return anchorsOf(markdown).includes(anchor ?? '')
  const place = join(dirname(file), path)
  if (!existsSync(join(root, place))) return false
  return anchor === undefined || (place.endsWith('.md') && anchorsOf(readDocument(place)).includes(anchor))
}
