import { deepStrictEqual } from 'node:assert'
import { inspect } from 'node:util'

/** The time limit for an assertion in a task that outlives its block, in milliseconds. */
const limitMs = 2_000

const sheets = new Map<string, Sheet>()

/** The results of the assertions of one block. The block's module and its test share it by the block's name. */
export class Sheet {
  readonly #file: string
  readonly #unreached: Set<number>
  readonly #outcome = Promise.withResolvers<void>()
  #ended = false

  constructor(name: string, file: string, lines: Iterable<number>) {
    this.#file = file
    this.#unreached = new Set(lines)
    // A block can fail before the test listens.
    this.#outcome.promise.catch(() => {})
    sheets.set(name, this)
  }

  static of(name: string): Sheet {
    const sheet = sheets.get(name)
    if (sheet === undefined) throw new Error(`No test has opened a sheet for ${name}.`)
    return sheet
  }

  equal(line: number, actual: unknown, expected: unknown): void {
    try {
      deepStrictEqual(actual, expected)
    } catch (cause) {
      const got = actual instanceof Promise ? "a promise. Is an 'await' missing?" : `${inspect(actual)}.`
      this.#fail(line, `expected ${inspect(expected)}, got ${got}`, cause)
    }
    this.#reach(line)
  }

  /** `code` is the code of the error, or its name if it has no code. */
  throws(line: number, expression: () => unknown, code: string): void {
    let result: unknown
    try {
      result = expression()
    } catch (error) {
      this.#expectCode(line, error, code)
      return
    }
    this.#fail(line, `expected ${code} to be thrown, got ${inspect(result)}.`)
  }

  /** Like `throws`, for an expression that throws or rejects. */
  async rejects(line: number, expression: () => Promise<unknown>, code: string): Promise<void> {
    const [settled] = await Promise.allSettled([expression()])
    if (settled.status === 'rejected') this.#expectCode(line, settled.reason, code)
    else this.#fail(line, `expected ${code} to be thrown, got ${inspect(settled.value)}.`)
  }

  /** Keeps the failure. If it threw, the block could catch it, or it could end the process. */
  fail(error: unknown): void {
    this.#outcome.reject(error)
  }

  /**
   * Settles after every assertion of the block was reached.
   *
   * @throws {Error} for the first failure
   */
  async complete(): Promise<void> {
    const timer = setTimeout(() => this.#giveUp(), limitMs)
    this.#ended = true
    this.#resolveWhenComplete()
    await this.#outcome.promise.finally(() => clearTimeout(timer))
  }

  #expectCode(line: number, error: unknown, code: string): void {
    const { code: ownCode, name } = error as { code?: unknown; name?: unknown }
    if (code !== ownCode && code !== name) {
      this.#fail(line, `expected ${code} to be thrown, got ${inspect(error)}.`, error)
    }
    this.#reach(line)
  }

  #reach(line: number): void {
    this.#unreached.delete(line)
    this.#resolveWhenComplete()
  }

  /** Only after the block's end, because an assertion in a loop is reached several times. */
  #resolveWhenComplete(): void {
    if (this.#ended && this.#unreached.size === 0) this.#outcome.resolve()
  }

  #giveUp(): void {
    const [line] = this.#unreached
    this.fail(new Error(`${this.#file}:${line}: this assertion was never reached.`))
  }

  #fail(line: number, message: string, cause?: unknown): void {
    this.fail(new Error(`${this.#file}:${line}: ${message}`, { cause }))
  }
}
