import { cpSync, globSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
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

/** Keeps the paths, so that relative links are the same on GitHub, in the package and here. */
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
    const target = join(pages, file)
    mkdirSync(dirname(target), { recursive: true })
    cpSync(join(root, file), target)
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

rmSync(pages, { recursive: true, force: true })
copyPages()
await writeReference()
await build(site)
