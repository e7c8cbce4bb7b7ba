import { readFileSync, rmSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { rolldown } from 'rolldown'
import { writeInspectorPage } from './inspector-page.ts'

/**
 * Bundles one file for each subpath of the package, with shared chunks: an import of many small files slows the start of
 * a process, and every request after it. No dependency is bundled, nothing is minified. The declarations come from tsc.
 */
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
  exports: Record<string, string | { 'logical-context-source': string; default: string }>
}
const input = Object.fromEntries(
  Object.values(manifest.exports).flatMap((target) =>
    typeof target === 'string'
      ? []
      : [[target.default.replace('./dist/', '').replace(/\.js$/, ''), target['logical-context-source']]],
  ),
)

/** The rooms that several subpaths share. */
const chunks = [
  { name: 'core', test: /src\/(context\/|tasks\/|(errors|options|callbacks)\.ts)/ },
  { name: 'propagators', test: /src\/(variables|propagators)\// },
  { name: 'middleware', test: /src\/middleware\//, minShareCount: 2 },
]

await writeInspectorPage()
rmSync('dist', { recursive: true, force: true })
const bundle = await rolldown({ input, platform: 'node', external: /^[^./]/ })
await bundle.write({
  dir: 'dist',
  format: 'esm',
  sourcemap: true,
  minify: false,
  // The source maps have the comments, and the declarations those of the public names. V8 scans each at every start.
  comments: { annotation: true, legal: true, jsdoc: false },
  entryFileNames: '[name].js',
  chunkFileNames: ({ name, moduleIds }) => `chunks/${name || basename(dirname(moduleIds[0] ?? ''))}.js`,
  codeSplitting: { groups: chunks },
})
await bundle.close()
