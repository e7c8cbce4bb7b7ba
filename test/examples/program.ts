import { spawn } from 'node:child_process'
import { once } from 'node:events'

export interface Program {
  readonly pid: number
  /** The output so far. */
  readonly stdout: string
  readonly stderr: string
  /** Resolves with the first match in the output. */
  saw(pattern: RegExp): Promise<RegExpExecArray>
  /** Resolves with its exit code, or with the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  kill(signal: NodeJS.Signals): void
}

/** An option of Node that prints every loaded package of OpenTelemetry to stderr. */
export const printOpenTelemetry = `--import=${new URL('print-opentelemetry.ts', import.meta.url).href}`

interface ProgramOptions {
  readonly args?: readonly string[]
  /** Options of Node, for the program and its child processes. */
  readonly nodeOptions?: readonly string[]
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a program of the example like `npm run`, in a terminal without colors. */
export function startProgram(
  path: string,
  { args = [], nodeOptions = [], env: added = {} }: ProgramOptions = {},
): Program {
  const { NO_COLOR: _, FORCE_COLOR: __, ...env } = process.env
  const child = spawn(process.execPath, ['--conditions=logical-context-source', ...nodeOptions, path, ...args], {
    env: { ...env, ...added },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const waiting = new Set<() => void>()
  const program = {
    pid: child.pid ?? 0,
    stdout: '',
    stderr: '',
    saw: (pattern: RegExp) => {
      const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
      const look = () => {
        const match = pattern.exec(program.stdout)
        if (match !== null) resolve(match)
      }
      waiting.add(look)
      look()
      const tooLate = () => reject(new Error(`Ended without ${pattern}: ${program.stdout}${program.stderr}`))
      program.ended.then(tooLate, reject)
      return promise.finally(() => waiting.delete(look))
    },
    ended: once(child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals),
    kill: (signal: NodeJS.Signals) => {
      child.kill(signal)
    },
  }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    program.stdout += text
    for (const look of waiting) look()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    program.stderr += text
  })
  return program
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
