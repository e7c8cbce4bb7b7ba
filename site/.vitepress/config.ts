import { globSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { defineConfig } from 'vitepress'

/** The pages of a folder, by their headings. */
function pagesOf(pattern: string): { text: string; link: string }[] {
  return globSync(pattern, { cwd: 'pages' })
    .filter((file) => basename(file) !== 'index.md')
    .toSorted()
    .map((file) => ({
      text: /^# (.+)$/m.exec(readFileSync(`pages/${file}`, 'utf8'))?.[1] ?? basename(file),
      link: `/${file.replace(/\.md$/, '')}`,
    }))
}

/** The anchor of a heading on GitHub: the links of the pages use it. */
function githubAnchor(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, '')
    .replaceAll(' ', '-')
}

const widePages = new Set(
  ['options', 'benchmarks', 'runtimes', 'fastify-matrix', 'servers'].map((name) => `docs/${name}.md`),
)

export default defineConfig({
  title: 'logical-context',
  description: 'Request context for Node servers',
  srcDir: 'pages',
  outDir: 'dist',
  cleanUrls: true,
  // Without an icon, browsers request one that does not exist.
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  // The build fails for a dead link.
  ignoreDeadLinks: false,
  markdown: { anchor: { slugify: githubAnchor } },
  // A wide table needs the place of the outline.
  transformPageData: ({ relativePath, frontmatter }) => {
    if (widePages.has(relativePath)) frontmatter['aside'] = false
  },
  themeConfig: {
    search: {
      provider: 'local',
      options: {
        miniSearch: {
          // The pages explain a word before the reference lists it. VitePress sends the function to the browser as text.
          searchOptions: {
            boostDocument: (id: string) => {
              if (id.startsWith('/docs/errors')) return 2
              return /^\/(docs\/(guides|concepts)|reference\/.*functions\/)/.test(id) ? 3 : 1
            },
          },
        },
      },
    },
    outline: [2, 3],
    nav: [
      { text: 'Guides', link: '/docs/concepts' },
      { text: 'Reference', link: '/reference/' },
      { text: 'Decisions', link: '/docs/decisions/' },
      { text: 'Benchmarks', link: '/docs/benchmarks' },
    ],
    sidebar: [
      {
        text: 'Start',
        items: [
          { text: 'Overview', link: '/' },
          ...['concepts', 'options', 'errors'].flatMap((name) => pagesOf(`docs/${name}.md`)),
        ],
      },
      { text: 'Guides', items: pagesOf('docs/guides/*.md') },
      { text: 'Reference', collapsed: true, items: [{ text: 'All subpaths', link: '/reference/' }] },
      { text: 'Decisions', collapsed: true, items: pagesOf('docs/decisions/*.md') },
      {
        text: 'Evidence',
        collapsed: true,
        items: ['benchmarks', 'context-cost', 'reliability', 'runtimes', 'fastify-matrix', 'servers'].flatMap((name) =>
          pagesOf(`docs/${name}.md`),
        ),
      },
    ],
  },
})
