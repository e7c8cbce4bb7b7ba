import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type MicroRow, ours, type Role, type Side, type Target } from '../harness/row.ts'

const run = promisify(execFile)
const bench = join(import.meta.dirname, '..')

export const imports: readonly MicroRow[] = [
  row('import-index', 'Import the package', 15, [
    side(ours, 'ours', 'logical-context'),
    side('@opentelemetry/api', 'peer', '@opentelemetry/api'),
    side('nestjs-cls', 'peer', 'nestjs-cls'),
  ]),
  row('import-plugin', 'Import the Fastify plugin', 40, [
    side(ours, 'ours', 'logical-context/middleware/fastify'),
    side('@fastify/request-context', 'peer', '@fastify/request-context'),
    side('@fastify/otel', 'peer', '@fastify/otel'),
    side('cls-rtracer', 'peer', 'cls-rtracer'),
  ]),
]

function row(name: string, title: string, ms: number, sides: readonly Side[]): MicroRow {
  return {
    kind: 'micro',
    windows: 3,
    name,
    title,
    about: 'A new process starts, imports the module and exits. The floor imports nothing.',
    sides: [side('Node alone', 'floor'), ...sides],
    targets: [overNode(ms)],
  }
}

function overNode(ms: number): Target {
  return { words: `at most ${ms} ms over Node alone`, figure: 'ns', against: 'floor', atMostMore: ms * 1e6 }
}

function side(name: string, role: Role, module?: string): Side {
  const code = module === undefined ? '' : `await import('${module}')`
  // Without the cache of compiled code that the harness has: a new process of a user has none.
  const { NODE_COMPILE_CACHE: _, ...env } = process.env
  const start = () => run(process.execPath, ['--input-type=module', '--eval', code], { cwd: bench, env })
  return { name, role, setup: () => ({ op: start, check: start, awaited: true, elsewhere: true }) }
}
