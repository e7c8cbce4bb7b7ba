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
export async function runScript(source: string): Promise<ScriptEnd> {
  const args = ['--conditions=logical-context-source', '--expose-gc', '--input-type=module', '--eval', source]
  const child = spawn(process.execPath, args, {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { code: code as number | null, stdout, stderr }
}
