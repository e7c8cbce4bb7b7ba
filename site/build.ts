import { cpSync, globSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Application, TSConfigReader } from 'typedoc'
import { build } from 'vitepress'

/**
 * Builds the docs site into `site/dist`: the Markdown files of the repository, and the API reference from the doc
 * comments. Fails for a dead link, and for a name that the reference refers to and that does not exist.
 */
const site = fileURLToPath(new URL('.', import.meta.url))
const root = join(site, '..')
const pages = join(site, 'pages')
const dist = join(site, 'dist')

/**
 * Keeps the paths, so that relative links are the same on GitHub, in the package and here. Only a README gets the name
 * of the page of its folder.
 */
function copyPages(): void {
  const patterns = [
    'README.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'LICENSE',
    'docs/**/*.{md,svg,png,json}',
  ]
  for (const file of globSync(patterns, { cwd: root })) {
    // VitePress publishes a file that no page includes only from `public`.
    const target = join(pages, file.endsWith('.json') ? 'public' : '', file.replace(/README\.md$/, 'index.md'))
    mkdirSync(dirname(target), { recursive: true })
    cpSync(join(root, file), target)
    if (!file.endsWith('.md')) continue
    const text = readFileSync(target, 'utf8')
    writeFileSync(target, text.replaceAll(/(\]\([^)\s]*)README\.md/g, '$1index.md'))
  }
}

async function writeReference(): Promise<void> {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { 'logical-context-source': string }>
  }
  const entryPoints = Object.values(manifest.exports).flatMap((target) =>
    typeof target === 'string' ? [] : [join(root, target['logical-context-source'])],
  )
  const app = await Application.bootstrapWithPlugins(
    // `entryFileName` is an option of the plugin.
    {
      entryPoints,
      tsconfig: join(root, 'tsconfig.json'),
      plugin: ['typedoc-plugin-markdown'],
      basePath: join(root, 'src'),
      out: join(pages, 'reference'),
      entryFileName: 'index',
      readme: 'none',
      name: 'API reference',
      excludeInternal: true,
      excludePrivate: true,
      excludeExternals: true,
      disableSources: true,
      skipErrorChecking: true,
      validation: { notExported: false, invalidLink: true, notDocumented: false },
    },
    [new TSConfigReader()],
  )
  const project = await app.convert()
  if (project === undefined) throw new Error('typedoc could not read the sources.')
  app.validate(project)
  if (app.logger.hasErrors()) throw new Error('The doc comments have errors.')
  await app.generateOutputs(project)
}

/** The links in the built pages that lead to no file or to no heading. VitePress checks neither headings nor other files. */
function deadLinks(): string[] {
  const files = globSync('**/*.html', { cwd: dist })
  const html = new Map<string, string>(files.map((file) => [join(dist, file), readFileSync(join(dist, file), 'utf8')]))
  return Array.from(html).flatMap(([page, text]) => {
    const links = Array.from(text.matchAll(/ (?:href|src)="(?![a-z]+:)([^"]+)"/g), ([, link = '']) => link)
    return [...new Set(links)].filter((link) => !leadsSomewhere(page, link)).map((link) => `${page}: ${link}`)
  })

  function leadsSomewhere(page: string, link: string): boolean {
    const [path = '', anchor] = link.split('#')
    const target = path.startsWith('/') ? join(dist, path) : join(dirname(page), path)
    const found = path === '' ? page : [target, `${target}.html`, join(target, 'index.html')].find(isFile)
    return found !== undefined && (anchor === undefined || html.get(found)?.includes(`id="${anchor}"`) !== false)
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}

rmSync(pages, { recursive: true, force: true })
copyPages()
await writeReference()
await build(site)
const dead = deadLinks()
if (dead.length > 0) throw new Error(`The site has dead links:\n${dead.join('\n')}`)
