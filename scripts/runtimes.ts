// Further runtimes, from their npm packages. They are fetched when they are used.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'

const platform = `${process.platform}-${process.arch}`

/** By name: the npm package for this platform, its version, and the path of the executable. */
const packages = {
  node22: nodePackage('22.23.3'),
  node24: nodePackage('24.21.0'),
  bun: { name: `@oven/bun-${platform}`, version: '1.4.5', program: 'bin/bun' },
  deno: { name: `@deno/${platform}${process.platform === 'linux' ? '-glibc' : ''}`, version: '2.9.6', program: 'deno' },
} as const

/** `node26` is the pinned Node, which runs the scripts. */
export type RuntimeName = keyof typeof packages | 'node26'

/** The supported runtimes. */
export const nodes: readonly RuntimeName[] = ['node22', 'node24', 'node26']

/**
 * Returns the path of a runtime's executable. The first call fetches it into `.cache`.
 *
 * @throws {Error} if the package cannot be installed on this platform.
 */
export function runtimePath(name: RuntimeName): string {
  if (name === 'node26') return process.execPath
  const { name: packageName, version, program } = packages[name]
  const folder = join(import.meta.dirname, '../.cache/runtimes', `${name}-${version}`)
  const path = join(folder, 'node_modules', packageName, program)
  if (existsSync(path)) return path
  mkdirSync(folder, { recursive: true })
  const npm = spawnSync('npm', ['install', '--no-save', '--prefix', folder, `${packageName}@${version}`], {
    encoding: 'utf8',
    shell: process.platform === 'win32',
  })
  if (npm.status === 0 && existsSync(path)) return path
  throw new Error(`${packageName}@${version} could not be installed. Is there one for ${platform}?\n${npm.stderr}`)
}

function nodePackage(version: string): { name: string; version: string; program: string } {
  const name = platform === 'darwin-arm64' ? `node-bin-${platform}` : `node-${platform}`
  return { name, version, program: process.platform === 'win32' ? 'bin/node.exe' : 'bin/node' }
}
