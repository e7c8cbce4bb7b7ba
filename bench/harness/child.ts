import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import type { Answer, Question } from './protocol.ts'

/** A program in this folder. */
export type Program = 'micro-side' | 'memory-side' | 'server' | 'load' | 'backend' | 'clients'

export interface ChildOptions {
  /** The path of the Node executable. */
  readonly node: string
  /** The CPU core of the process, if the system supports that. Default: any. */
  readonly core?: 0 | 1
}

/** A child process that answers questions, as its parent sees it. */
export class Child {
  /** The first answer. Rejects if the setup of the program fails. */
  readonly first: Promise<Answer>
  readonly #what: string
  readonly #child: ChildProcess
  #waiting: PromiseWithResolvers<Answer> | undefined
  #stderr = ''

  constructor(program: Program, words: readonly string[], { node, core }: ChildOptions) {
    this.#what = words.length === 0 ? program : words.join(', ')
    const command = [
      ...(core !== undefined && hasTaskset ? ['taskset', '-c', String(core)] : []),
      ...[node, '--expose-gc', '--disable-warning=ExperimentalWarning'],
      ...[join(import.meta.dirname, `${program}.ts`), ...words],
    ]
    this.#child = spawn(command[0] as string, command.slice(1), {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // Many processes load the same files.
      env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
    })
    this.#child.stderr?.on('data', (text: Buffer) => (this.#stderr += text.toString()))
    this.#child.on('message', (answer: Answer) => this.#settle(answer))
    this.#child.on('exit', (code) =>
      this.#settle({ is: 'failed', error: `its process has ended with code ${code}.\n${this.#stderr}` }),
    )
    this.first = this.#answer()
  }

  /** @throws {Error} if the process fails, or if its answer is not the expected one. */
  async ask<Is extends Answer['is']>(question: Question, expected: Is): Promise<Extract<Answer, { is: Is }>> {
    const answer = this.#answer()
    this.#child.send(question)
    return this.#expect(await answer, expected)
  }

  /** The port, if the program is a server. */
  async port(): Promise<number> {
    return this.#expect(await this.first, 'listening').port
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#child.once('exit', () => resolve())
    this.#child.kill('SIGTERM')
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 5000)
    await promise
    clearTimeout(late)
  }

  #expect<Is extends Answer['is']>(answer: Answer, expected: Is): Extract<Answer, { is: Is }> {
    if (answer.is === expected) return answer as Extract<Answer, { is: Is }>
    throw new Error(`${this.#what}: expected '${expected}', got '${answer.is}'.`)
  }

  async #answer(): Promise<Answer> {
    this.#waiting = Promise.withResolvers()
    const answer = await this.#waiting.promise
    if (answer.is === 'failed') throw new Error(`${this.#what}: ${answer.error}`)
    return answer
  }

  #settle(answer: Answer): void {
    this.#waiting?.resolve(answer)
    this.#waiting = undefined
  }
}

const compileCache = join(import.meta.dirname, '../../.cache/compiled')

const hasTaskset = spawnSync('taskset', ['-c', '1', 'true']).status === 0
