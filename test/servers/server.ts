import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

/** A server of a Debian package, on a free port of loopback. */
export interface RunningServer {
  readonly url: string
  readonly port: number
  /** Ends the server at once, as a crash does. */
  kill(): Promise<void>
  /** Starts it again, on the same port with the same data. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** The path of a program; undefined if it is not installed. */
export function findProgram(name: string, ...folders: readonly string[]): string | undefined {
  const paths = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', ...folders]
  return paths.map((folder) => join(folder, name)).find((path) => existsSync(path))
}

/** The name of a suite that needs a program. Without the program it names the package; CI on Linux never skips the suite. */
export function needs(program: string | undefined, debianPackage: string): { name: string; skip: boolean } {
  if (program !== undefined) return { name: '', skip: false }
  if (process.env['CI'] !== undefined && process.platform === 'linux')
    throw new Error(`CI needs the Debian package '${debianPackage}'.`)
  return { name: ` (skipped: apt-get install ${debianPackage})`, skip: true }
}

/** A port for a server that starts later. No client takes it meanwhile: Linux uses the ports from 32768 on for clients. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(20_000, 32_768)
    const server = createServer()
    const isFree = await once(server.listen(port, '127.0.0.1'), 'listening').then(
      () => true,
      () => false,
    )
    if (!isFree) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
  throw new Error('No free port was found.')
}

/** An empty directory, and the function that removes it. */
export async function temporaryDirectory(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'logical-context-'))
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) }
}

export interface ServerProgram {
  readonly command: string
  readonly args: readonly string[]
  readonly options?: SpawnOptions
  /** Whether it is several processes with the same output: its end waits for all of them. Default: false. */
  readonly several?: boolean
  /** Resolves when the server answers; rejects if it does not yet. */
  ready(): Promise<unknown>
}

export interface ServerProcess {
  /** Stops the process without an end, and waits until each of its threads has stopped. On Linux. */
  suspend(): Promise<void>
  /** Sends a signal, and waits until the process has ended. */
  end(signal: NodeJS.Signals): Promise<void>
}

/** Runs a server until it answers. The process belongs to this one, and ends with `stop` or `kill`. */
export async function runServer(program: ServerProgram): Promise<ServerProcess> {
  const output: string[] = []
  const child: ChildProcess = spawn(program.command, program.args, {
    ...program.options,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => output.push(String(text)))
  // `close` follows when no process has the output open.
  const ended = once(child, program.several ? 'close' : 'exit')
  const giveUpAt = Date.now() + 120_000
  for (;;) {
    const answer = await program.ready().then(
      () => undefined,
      (error: unknown) => error,
    )
    if (answer === undefined) break
    if (child.exitCode !== null || Date.now() > giveUpAt) {
      child.kill('SIGKILL')
      throw new Error(`${program.command} did not start:\n${output.join('')}`, { cause: answer })
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return {
    async suspend() {
      child.kill('SIGSTOP')
      while (!(await hasStopped(child.pid as number))) await new Promise((resolve) => setImmediate(resolve))
    },
    async end(signal) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal)
      await ended
    },
  }
}

/** A thread that runs while the signal is sent can still answer a client. */
async function hasStopped(pid: number): Promise<boolean> {
  const folder = `/proc/${pid}/task`
  const stats = await Promise.all((await readdir(folder)).map((id) => readFile(join(folder, id, 'stat'), 'utf8')))
  // The state follows the name, which is in parentheses.
  return stats.every((stat) => stat.slice(stat.lastIndexOf(')')).startsWith(') T'))
}
