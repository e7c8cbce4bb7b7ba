import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { type RuntimeName, runtimePath } from './runtimes.ts'

/**
 * Runs a script of this folder on a runtime, and returns its output, one JSON value.
 *
 * @throws {Error} if the script fails.
 */
export async function onRuntime<T>(runtime: RuntimeName, script: string, args: readonly string[] = []): Promise<T> {
  const path = fileURLToPath(new URL(script, import.meta.url))
  const flags = ['--conditions=logical-context-source', '--expose-gc']
  const child = spawn(runtimePath(runtime), [...flags, path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [output, [code, signal]] = await Promise.all([text(child.stdout), once(child, 'close')])
  if (code === 0) return JSON.parse(output) as T
  throw new Error(`${script} ended with ${String(code ?? signal)} on ${runtime}.`)
}

/** Returns the named runtimes, or all. */
export function namedRuntimes(names: readonly string[], all: readonly RuntimeName[]): readonly RuntimeName[] {
  const unknown = names.find((name) => !all.includes(name as RuntimeName))
  if (unknown !== undefined) throw new TypeError(`expected some of ${all.join(', ')}, got '${unknown}'.`)
  return names.length === 0 ? all : (names as readonly RuntimeName[])
}
