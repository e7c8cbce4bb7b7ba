import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { WrittenModule } from './run-blocks.ts'

const onLoopback = new URL('on-loopback.ts', import.meta.url).href

/** A module that serves, in its own process. */
export class ServedModule implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #exit: Promise<unknown[]>
  readonly #port: number

  private constructor(child: ChildProcess, exit: Promise<unknown[]>, port: number) {
    this.#child = child
    this.#exit = exit
    this.#port = port
  }

  /** Resolves when it listens. */
  static async start({ name, path }: WrittenModule): Promise<ServedModule> {
    const child = fork(path, {
      execArgv: ['--conditions=logical-context-source', '--import', onLoopback],
      silent: true,
    })
    child.stdout?.resume()
    const errors = child.stderr?.toArray()
    const exit = once(child, 'exit')
    const first = await Promise.race([once(child, 'message'), exit.then(() => undefined)])
    if (first === undefined) throw new Error(`${name} has not listened: ${String(await errors)}`)
    return new ServedModule(child, exit, first[0] as number)
  }

  /** The status of its answer to a GET, or undefined without an answer. */
  async ask(path: string): Promise<number | undefined> {
    const answer = await fetch(`http://127.0.0.1:${this.#port}${path}`).catch(() => undefined)
    await answer?.body?.cancel()
    return answer?.status
  }

  tellToEnd(): void {
    this.#child.kill('SIGTERM')
  }

  /** Resolves with the exit code, or with null after a signal. */
  async ended(): Promise<number | null> {
    const [code] = await this.#exit
    return code as number | null
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exit
  }
}
