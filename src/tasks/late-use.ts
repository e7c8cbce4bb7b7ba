import { LateWriteError } from '../errors.ts'

/** A variable read or written after its unit had ended. */
export interface LateUse {
  operation: 'read' | 'write'
  variable: string
  unit: string
  /** The line of code that did it, as in a stack trace, or empty. */
  callSite: string
}

export interface LateUseOptions {
  /** What a late write does: `'throw'` a `LateWriteError`, or only `'report'`. Default: report in production. */
  lateWrites?: 'throw' | 'report'
  /** Called once per call site of a late read or of a late write that does not throw. Default: a line to stderr. */
  onLateUse?: (use: LateUse) => void
}

/** How many call sites are remembered as reported; past that, new ones are only counted. */
const maxCallSites = 1000

/** Counts late reads and writes, and tells somebody of each place that does them. */
export class LateUseWatch {
  readonly #throws: boolean
  readonly #report: (use: LateUse) => void
  readonly #reported = new Set<string>()
  #reads = 0
  #writes = 0

  constructor({ lateWrites = defaultLateWrites(), onLateUse = printLateUse }: LateUseOptions = {}) {
    this.#throws = lateWrites === 'throw'
    this.#report = onLateUse
  }

  get reads(): number {
    return this.#reads
  }

  get writes(): number {
    return this.#writes
  }

  /** @throws {LateWriteError} for a write, where writes are configured to throw. */
  seen(operation: 'read' | 'write', variable: string, unit: string): void {
    if (operation === 'read') this.#reads++
    else this.#writes++
    if (operation === 'write' && this.#throws) throw new LateWriteError(variable, unit)
    if (this.#reported.size >= maxCallSites) return
    const callSite = findCallSite()
    const key = `${operation} ${variable} ${callSite}`
    if (this.#reported.has(key)) return
    this.#reported.add(key)
    this.#report({ operation, variable, unit, callSite })
  }
}

function defaultLateWrites(): 'throw' | 'report' {
  return process.env['NODE_ENV'] === 'production' ? 'report' : 'throw'
}

function printLateUse({ operation, variable, unit, callSite }: LateUse): void {
  console.error(`logical-context: late ${operation} of '${variable}', its unit '${unit}' has ended ${callSite}`)
}

/** This package's own frames stand between the line in question and the top of the stack. */
const ownFrames = 6

function findCallSite(): string {
  const frames = new Error('late use').stack?.split('\n') ?? []
  return frames[ownFrames]?.trim() ?? ''
}
