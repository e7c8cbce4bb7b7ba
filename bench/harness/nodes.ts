import { spawnSync } from 'node:child_process'
import * as runtimes from '../../scripts/runtimes.ts'

/** @throws {Error} for a major version without a runtime. */
export function runtimePath(major: string): string {
  const name = runtimes.nodes.find((known) => known === `node${major}`)
  if (name === undefined)
    throw new Error(`Expected --node ${runtimes.nodes.join(', ').replaceAll('node', '')}, got '${major}'.`)
  return runtimes.runtimePath(name)
}

export function versionOf(major: string): string {
  return spawnSync(runtimePath(major), ['--version'], { encoding: 'utf8' }).stdout.trim()
}
