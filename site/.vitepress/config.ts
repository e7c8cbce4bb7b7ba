import { globSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { defineConfig } from 'vitepress'

/** The pages of a folder, by their headings. */
function pagesOf(pattern: string): { text: string; link: string }[] {
  return globSync(pattern, { cwd: 'pages' })
    .filter((file) => basename(file) !== 'README.md')
    .toSorted()
    .map((file) => ({
      text: /^# (.+)$/m.exec(readFileSync(`pages/${file}`, 'utf8'))?.[1] ?? basename(file),
      link: `/${file.replace(/\.md$/, '')}`,
    }))
}

export default defineConfig({
  title: 'logical-context',
  description: 'Request context for Node servers',
  srcDir: 'pages',
  outDir: 'dist',
  cleanUrls: true,
  // The build fails for a dead link.
  ignoreDeadLinks: false,
  rewrites: { 'README.md': 'index.md', 'docs/decisions/README.md': 'docs/decisions/index.md' },
  themeConfig: {
    search: { provider: 'local' },
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
