import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import type { Answer, Question } from './protocol.ts'

const program = join(import.meta.dirname, 'side.ts')

/** The parent's end of a side's process. */
export class SideProcess {
  readonly name: string
  /** Rejects if the side cannot be set up. */
  readonly ready: Promise<unknown>
  readonly #child: ChildProcess
  #waiting: PromiseWithResolvers<Answer> | undefined
  #stderr = ''

  constructor(node: string, row: string, side: string) {
    this.name = side
    this.#child = fork(program, [row, side], {
      execPath: node,
      execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#child.stderr?.on('data', (text: Buffer) => (this.#stderr += text.toString()))
    this.#child.on('message', (answer: Answer) => this.#settle(answer))
    this.#child.on('exit', (code) =>
      this.#settle({ is: 'failed', error: `its process has ended with code ${code}.\n${this.#stderr}` }),
    )
  }

  /** @throws {Error} if the side cannot be set up. */
  static async start(node: string, row: string, side: string): Promise<SideProcess> {
    const started = new SideProcess(node, row, side)
    await started.#answer()
    return started
  }

  /** @throws {Error} if the side fails. */
  ask(question: Question): Promise<Answer> {
    const answer = this.#answer()
    this.#child.send(question)
    return answer
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#child.once('exit', () => resolve())
    this.#child.kill('SIGKILL')
    await promise
  }

  async #answer(): Promise<Answer> {
    this.#waiting = Promise.withResolvers()
    const answer = await this.#waiting.promise
    if (answer.is === 'failed') throw new Error(`${this.name}: ${answer.error}`)
    return answer
  }

  #settle(answer: Answer): void {
    this.#waiting?.resolve(answer)
    this.#waiting = undefined
  }
}
