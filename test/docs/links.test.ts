import { execSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }
import { anchorsOf, brokenLinks } from './links.ts'
import { missingPaths, scriptsIn } from './names.ts'
import { readDocument, root } from './run-blocks.ts'

const files = globSync(['*.md', 'docs/**/*.md'], { cwd: root }).map((file) => file.replaceAll('\\', '/'))
const documents = files.map((file) => [file, readDocument(file)] as const)
const scripts = Object.keys(manifest.scripts)

describe('the Markdown files', () => {
  it('are found', () => {
    expect(files).toEqual(expect.arrayContaining(['README.md', 'CONTRIBUTING.md', 'docs/guides/fastify.md']))
  })

  it('have no broken link', () => {
    expect(documents.flatMap(([file, markdown]) => brokenLinks(file, markdown))).toEqual([])
  })

  it('name only files that exist', () => {
    expect(documents.flatMap(([file, markdown]) => missingPaths(file, markdown))).toEqual([])
  })

  it('name only scripts that exist', () => {
    const unknown = documents.flatMap(([file, markdown]) =>
      scriptsIn(markdown)
        .filter((script) => !scripts.includes(script))
        .map((script) => `${file}: ${script}`),
    )

    expect(unknown).toEqual([])
  })

  it('are all reached from README by links', () => {
    const reached = new Set(['README.md'])
    for (const file of reached) for (const next of linkedFrom(file)) if (files.includes(next)) reached.add(next)

    // Tools find AGENTS.md by its name.
    expect(files.filter((file) => !reached.has(file) && file !== 'AGENTS.md')).toEqual([])
  })
})

describe('the pages in the npm package', () => {
  const published = publishedFiles()

  it('include README, the changelog and all of docs', () => {
    expect(published).toEqual(expect.arrayContaining(files.filter((file) => file !== 'AGENTS.md')))
  })

  it('link only to files in the npm package', () => {
    const pages = published.filter((file) => file.endsWith('.md'))
    const missing = pages.flatMap((page) =>
      linkedFrom(page)
        .filter((target) => !published.includes(target))
        .map((target) => `${page}: ${target}`),
    )

    expect(pages).toContain('README.md')
    expect(missing).toEqual([])
  })
})

describe('CONTRIBUTING.md', () => {
  it('names every npm script that is not part of another one', () => {
    const named = scriptsIn(readDocument('CONTRIBUTING.md'))
    const parts = [...scriptsIn(manifest.scripts.check), 'prepack']

    expect(scripts.filter((script) => !named.includes(script) && !parts.includes(script))).toEqual([])
  })
})

describe('brokenLinks', () => {
  it.each<[name: string, markdown: string]>([
    ['a missing file', '[a](nowhere.md)'],
    ['a missing heading', '[a](README.md#nowhere)'],
    ['a missing heading of the same page', '# Here\n\n[a](#nowhere)'],
    ['a missing picture', '![a](nowhere.svg)'],
    ['a definition', '[a]\n\n[a]: nowhere.md'],
    ['a link whose text is code', '[`a`](nowhere.md)'],
    ['the second link of a line', '[a](README.md), [b](nowhere.md)'],
    ['an anchor in a file without headings', '[a](LICENSE#nowhere)'],
  ])('finds %s', (_, markdown) => {
    expect(brokenLinks('x.md', markdown)).toEqual([expect.stringMatching(/^x\.md:\d: .*nowhere/)])
  })

  it.each<[name: string, markdown: string]>([
    ['a file', '[a](README.md)'],
    ['a file in the folder of the text', '[a](../README.md)'],
    ['a heading', '# It is `here`!\n\n[a](#it-is-here)'],
    ['a web page', '[a](https://example.com/nowhere)'],
    ['a link in code', '`[a](nowhere.md)`\n\n```md\n[a](nowhere.md)\n```'],
  ])('accepts %s', (name, markdown) => {
    expect(brokenLinks(name.includes('folder') ? 'docs/x.md' : 'x.md', markdown)).toEqual([])
  })
})

describe('anchorsOf', () => {
  it('makes anchors like GitHub, and numbers repeated ones', () => {
    expect(
      anchorsOf('# What? It is `get()`\n\n## [A link](b.md) – and é\n\n```sh\n# no heading\n```\n\n## A\n\n## A'),
    ).toEqual(['what-it-is-get', 'a-link--and-é', 'a', 'a-1'])
  })
})

describe('missingPaths', () => {
  it('finds missing files, and ignores patterns', () => {
    const markdown = '`src/nowhere.ts`, `src/index.ts`, `test/<room>/`, `test/*.ts`, `src/nowhere.ts` without `code`'

    expect(missingPaths('x.md', markdown)).toEqual(['x.md:1: src/nowhere.ts', 'x.md:1: src/nowhere.ts'])
  })
})

/** The files of this repository that a page links to. */
function linkedFrom(file: string): string[] {
  return Array.from(readDocument(file).matchAll(/\]\(([^)#\s]+)/g), (match) => match[1] ?? '')
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => new URL(target, `file:///${file}`).pathname.slice(1))
}

/** The files that `npm pack` would put into the package, without the build. */
function publishedFiles(): string[] {
  const output = execSync('npm pack --dry-run --json --ignore-scripts', { cwd: root, encoding: 'utf8', stdio: 'pipe' })
  // npm 11 prints a list of packages, npm 12 an object with a package for each name.
  const [packed] = Object.values<{ files: { path: string }[] }>(JSON.parse(output))
  return packed?.files.map(({ path }) => path) ?? []
}
