import { spawnSync } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const bench = join(import.meta.dirname, '..')
const root = join(bench, '..')

/** Builds the library, and installs the peers. */
export function prepare(): void {
  npm(root, 'run', 'build')
  installPeers()
  link(join(bench, 'node_modules', 'logical-context'))
}

/** Installs the peers, unless the installed ones match the lockfile. */
export function installPeers(): void {
  const lockfile = readFileSync(join(bench, 'package-lock.json'), 'utf8')
  const installed = join(bench, 'node_modules', '.installed-lock')
  if (!existsSync(installed) || readFileSync(installed, 'utf8') !== lockfile) {
    npm(bench, 'ci')
    writeFileSync(installed, lockfile)
  }
}

/** Not by npm: its lockfile would repeat the library's dependencies, and would be out of date after each change. */
function link(path: string): void {
  mkdirSync(join(bench, 'node_modules'), { recursive: true })
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) rmSync(path, { recursive: true })
  symlinkSync(root, path, 'junction')
}

function npm(folder: string, ...words: string[]): void {
  const result = spawnSync('npm', words, { cwd: folder, encoding: 'utf8', shell: process.platform === 'win32' })
  if (result.status !== 0) throw new Error(`npm ${words.join(' ')} failed:\n${result.stdout}${result.stderr}`)
}
