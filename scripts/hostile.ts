// `npm run hostile`: runs the tests of hostile clients and misbehaving callbacks, at full depth, and prints one line.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const depth = 100_000
const files = [
  'test/callbacks/callbacks.test.ts',
  'test/canary',
  'test/middleware/fastify-bounds.test.ts',
  'test/propagators/hostile-input.test.ts',
  'test/propagators/retained-headers.test.ts',
  'test/tasks/depth.test.ts',
]

const folder = mkdtempSync(join(tmpdir(), 'hostile-'))
const report = join(folder, 'report.json')
const vitest = join(import.meta.dirname, '../node_modules/vitest/vitest.mjs')
const args = [vitest, 'run', ...files, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
const { status } = spawnSync(process.execPath, args, {
  env: { ...process.env, DEPTH: String(depth) },
  stdio: ['ignore', 'inherit', 'inherit'],
})
const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, 'utf8')) as Record<string, number>
rmSync(folder, { recursive: true })
console.log(`hostile: ${numPassedTests} passed, ${numFailedTests} failed; depth ${depth.toLocaleString('en')}`)
process.exitCode = status ?? 1
