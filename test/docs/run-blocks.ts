import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { Sheet } from './assertions.ts'
import { type BlockModule, modulesOf } from './block-module.ts'
import { blocksOf } from './markdown.ts'

export const root = fileURLToPath(new URL('../../', import.meta.url))

/** The module of a block as a file inside the package, so that it can import the package by its name. */
export interface WrittenModule extends BlockModule {
  readonly path: string
}

/** Writes the modules of a Markdown text below `.cache/<folder>`. Old files there have no effect. */
export function writeModules(folder: string, file: string, markdown: string): WrittenModule[] {
  const pathOf = (line: number): string => join(root, '.cache', folder, file, `${line}.ts`)
  const assertions = fileURLToPath(new URL('assertions.ts', import.meta.url))
  const blocks = blocksOf(file, markdown)
  const modules = modulesOf(blocks, ({ line }) => posix(relative(dirname(pathOf(line)), assertions)))
  return modules.map((module) => {
    const path = pathOf(Number(module.name.split(':').at(-1)))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, module.text)
    return { ...module, path }
  })
}

export function readDocument(file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

/**
 * Runs a module to its end and checks its assertions.
 *
 * @throws what the module throws, or the first assertion that fails or is never reached
 */
export async function runModule(module: WrittenModule): Promise<void> {
  const sheet = new Sheet(module.name, module.file, module.assertions)
  await import(/* @vite-ignore */ pathToFileURL(module.path).href).catch((error: unknown) => sheet.fail(error))
  await sheet.complete()
}

/** Compiles all modules as strictly as the sources. Returns the errors by Markdown file and line. */
export async function compileModules(folder: string, modules: readonly WrittenModule[]): Promise<string[]> {
  const project = join(root, '.cache', folder, 'tsconfig.json')
  const config = {
    extends: '../../tsconfig.json',
    // An example can have unused names.
    compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
    files: modules.map(({ path }) => path),
    include: [],
  }
  writeFileSync(project, JSON.stringify(config))
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const output = await promisify(execFile)(process.execPath, [compiler, '-p', project, '--pretty', 'false'], {
    cwd: root,
  }).then(
    () => '',
    (error: { stdout?: string; message: string }) => error.stdout || error.message,
  )
  const lines = posix(output).split(/\r?\n/)
  const place = new RegExp(`^\\.cache/${folder}/(.+)/\\d+\\.ts\\((\\d+),(\\d+)\\)`)
  // `npm run types` reports errors in the sources. Errors of the compiler itself are reported only here.
  const ofSources = (line: string): boolean => /^$|^\s|^\S+\(\d+,\d+\): error/.test(line) && !place.test(line)
  return lines.filter((line) => !ofSources(line)).map((line) => line.replace(place, '$1:$2:$3'))
}

function posix(path: string): string {
  return path.replaceAll('\\', '/')
}
