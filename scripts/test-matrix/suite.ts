import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type RuntimeName, runtimePath } from '../runtimes.ts'

/** A runtime, and how it runs the tests. */
export interface Setting {
  /** The name on the command line and in the output. */
  name: string
  runtime: RuntimeName
  /** For Node. */
  nodeOptions?: string
  /** Arguments before the path of vitest. */
  flags?: readonly string[]
  /** Arguments for vitest. */
  args?: readonly string[]
}

/** The results of the tests of one file. */
export interface FileResult {
  file: string
  passed: number
  failed: number
  /** The name of each failed test, with the first line of its failure. */
  failures: readonly string[]
}

/** The used part of vitest's report, which has jest's format. */
interface Report {
  testResults: {
    name: string
    status: string
    message: string
    assertionResults: { status: string; fullName: string; failureMessages: string[] | null }[]
  }[]
}

const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Runs all tests, or the tests of some files, on a runtime.
 *
 * @returns undefined if the runtime did not end within the limit, or ended without a report.
 */
export async function runSuite(
  setting: Setting,
  { files = [], limitMs }: { files?: readonly string[]; limitMs: number },
): Promise<FileResult[] | undefined> {
  const { runtime, nodeOptions, flags = [], args = [] } = setting
  const folder = mkdtempSync(join(tmpdir(), 'test-matrix-'))
  const report = join(folder, 'report.json')
  const vitest = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...args, ...files]
  // The speed of the runtimes does not matter here.
  const patience = '--testTimeout=60000'
  const reporters = ['--reporter=json', `--outputFile=${report}`]
  const child = spawn(runtimePath(runtime), [...flags, ...vitest, patience, ...reporters], {
    cwd: root,
    // Its own process group, so that its workers can be ended too.
    detached: true,
    env: { ...process.env, NODE_OPTIONS: nodeOptions },
    stdio: 'ignore',
  })
  const limit = setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGKILL'), limitMs)
  await once(child, 'close')
  clearTimeout(limit)
  try {
    return resultsOf(JSON.parse(readFileSync(report, 'utf8')) as Report)
  } catch {
    return undefined
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function resultsOf({ testResults }: Report): FileResult[] {
  return testResults.map(({ name, status, message, assertionResults }) => {
    const failed = assertionResults.filter((test) => test.status === 'failed')
    const failures = failed.map(({ fullName, failureMessages }) => `${fullName}: ${firstLine(failureMessages?.[0])}`)
    // A file that fails to load has no tests.
    if (status === 'failed' && failed.length === 0) failures.push(firstLine(message))
    return {
      file: relative(root, name),
      passed: assertionResults.filter((test) => test.status === 'passed').length,
      failed: failures.length,
      failures,
    }
  })
}

function firstLine(text = ''): string {
  return text.split('\n', 1)[0] ?? ''
}
