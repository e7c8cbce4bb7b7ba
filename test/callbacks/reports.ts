import { format } from 'node:util'

/** Collects what a program writes to its log and to stderr. */
export class Reports {
  readonly lines: string[] = []
  readonly stream = { write: (line: string) => void this.lines.push(line.trimEnd()) }
  readonly #consoleError = console.error

  constructor() {
    console.error = (...args: unknown[]) => void this.lines.push(format(...args))
  }

  stop(): void {
    console.error = this.#consoleError
  }
}
