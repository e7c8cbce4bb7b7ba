import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

export interface ScriptEnd {
  /** Null where a signal has ended the process. */
  code: number | null
  stdout: string
  stderr: string
}

/** Runs a module in a process of its own, which imports the package from source by its name. */
export function runScript(source: string): Promise<ScriptEnd> {
  return runProgram(['--expose-gc', '--input-type=module', '--eval', source])
}

/** Runs Node with these arguments in a process of its own, which imports the package from source by its name. */
export async function runProgram(args: readonly string[]): Promise<ScriptEnd> {
  const child = spawn(process.execPath, ['--conditions=logical-context-source', ...args], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { code: code as number | null, stdout, stderr }
}
