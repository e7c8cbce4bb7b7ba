import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { MeasuredRecipes } from './measure.ts'

/** The mechanism of AsyncLocalStorage. */
export const mechanisms = ['async_hooks', 'AsyncContextFrame'] as const
export type Mechanism = (typeof mechanisms)[number]

/** Of one run of all cases. */
export interface Run {
  /** As `process.version` has it. */
  node: string
  mechanism: Mechanism
  fastify: string
  measured: MeasuredRecipes
}

const child = fileURLToPath(new URL('child.ts', import.meta.url))
const root = fileURLToPath(new URL('../../..', import.meta.url))

/** Runs all cases in a process of its own, on the Node at `path`, over one of its mechanisms. */
export async function runOn(path: string, major: number, mechanism: Mechanism): Promise<Run> {
  const args = ['--conditions=logical-context-source', ...flagsFor(major, mechanism), child]
  const ran = spawn(path, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  const [stdout, stderr, [code]] = await Promise.all([text(ran.stdout), text(ran.stderr), once(ran, 'close')])
  if (code !== 0) throw new Error(`${path} ${args.join(' ')} has ended with ${String(code)}:\n${stderr}`)
  const run = JSON.parse(stdout) as Run
  if (run.mechanism === mechanism) return run
  throw new Error(`${path} ${args.join(' ')} has run over ${run.mechanism}, expected ${mechanism}.`)
}

/** Node 22 uses async_hooks unless a flag selects the other; later ones the other way round. */
function flagsFor(major: number, mechanism: Mechanism): string[] {
  if (mechanism === 'AsyncContextFrame') return major < 24 ? ['--experimental-async-context-frame'] : []
  return major < 24 ? [] : ['--no-async-context-frame']
}
