import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build, type Rolldown } from 'vite'

const page = new URL('../inspector-page/', import.meta.url)
const target = new URL('../src/inspector/page-files.ts', import.meta.url)

/**
 * Bundles the page of the inspector into a module with the texts of its files: the package then needs no path to them,
 * also in a bundle of a program, and the sources run without a build.
 */
export async function inspectorPage(): Promise<string> {
  // A test runner sets another one, and the build depends on it.
  process.env['NODE_ENV'] = 'production'
  const { output } = (await build({
    configFile: false,
    root: fileURLToPath(page),
    mode: 'production',
    logLevel: 'warn',
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: {
      write: false,
      target: 'es2022',
      modulePreload: false,
      rolldownOptions: {
        input: fileURLToPath(new URL('main.tsx', page)),
        output: { entryFileNames: 'page.js', assetFileNames: 'page.[ext]' },
      },
    },
  })) as Rolldown.RolldownOutput
  const text = (name: string) => {
    const file = output.find(({ fileName }) => fileName === name)
    if (file === undefined) throw new Error(`The build of the page has no file ${name}.`)
    return file.type === 'chunk' ? file.code : String(file.source)
  }
  const read = (name: string) => readFileSync(new URL(name, page), 'utf8')
  const files = {
    '/': { type: 'text/html; charset=utf-8', text: read('index.html') },
    '/icon.svg': { type: 'image/svg+xml', text: read('icon.svg').trim() },
    '/page.css': { type: 'text/css; charset=utf-8', text: text('page.css').trim() },
    '/page.js': { type: 'text/javascript; charset=utf-8', text: text('page.js').trim() },
  }
  return `// Written by scripts/inspector-page.ts from inspector-page. Do not edit.
export const pageFiles: Readonly<Record<string, { readonly type: string; readonly text: string }>> = ${JSON.stringify(files, null, 2)}
`
}

/** Writes the module, if it is not current. */
export async function writeInspectorPage(): Promise<void> {
  const text = await inspectorPage()
  if (readFileSync(target, 'utf8') !== text) writeFileSync(target, text)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await writeInspectorPage()
