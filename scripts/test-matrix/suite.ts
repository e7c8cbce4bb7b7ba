import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type RuntimeName, runtimePath } from '../runtimes.ts'

/** A runtime, and how it runs the tests. */
export interface Setting {
  /** Its name for people, and on the command line. */
  name: string
  runtime: RuntimeName
  /** For Node itself. */
  nodeOptions?: string
  /** Before the path of vitest. */
  flags?: readonly string[]
  /** For vitest. */
  args?: readonly string[]
}

/** What became of the tests of one file. */
export interface FileResult {
  file: string
  passed: number
  failed: number
  /** The first line of each failure, behind the test's name. */
  failures: readonly string[]
}

/** The part of vitest's report, which is jest's, that is needed. */
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
 * Runs tests on a runtime: all, or those of some files.
 *
 * @returns undefined if the runtime has not come to an end within the limit, or has ended without a report.
 */
export async function runSuite(
  setting: Setting,
  { files = [], limitMs }: { files?: readonly string[]; limitMs: number },
): Promise<FileResult[] | undefined> {
  const { runtime, nodeOptions, flags = [], args = [] } = setting
  const folder = mkdtempSync(join(tmpdir(), 'test-matrix-'))
  const report = join(folder, 'report.json')
  const vitest = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...args, ...files]
  // Whether it holds is asked, and not how fast: runtimes differ.
  const patience = '--testTimeout=60000'
  const reporters = ['--reporter=json', `--outputFile=${report}`]
  const child = spawn(runtimePath(runtime), [...flags, ...vitest, patience, ...reporters], {
    cwd: root,
    // A group of its own, so that its workers can be ended with it.
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
    // A file that cannot be loaded has no tests.
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
