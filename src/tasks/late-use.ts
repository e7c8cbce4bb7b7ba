import { processSingleton } from '../context/storage.ts'
import { LateWriteError } from '../errors.ts'
import { show } from '../options.ts'
import { contextLate } from './lifecycle.ts'

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
  /** Undefined until the first late write: to read the environment costs as much as to open a scope. */
  #throws: boolean | undefined
  readonly #report: (use: LateUse) => void
  readonly #reported = new Set<string>()
  #telling = false
  #reads = 0
  #writes = 0

  constructor({ lateWrites, onLateUse = printLateUse }: LateUseOptions = {}) {
    this.#throws = lateWrites === undefined ? undefined : lateWrites === 'throw'
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
    const throws = operation === 'write' && (this.#throws ??= throwsByDefault())
    // Whoever is told may use a variable too, just as late.
    if (!this.#telling) {
      this.#telling = true
      if (contextLate.hasSubscribers) contextLate.publish({ operation, variable, unit })
      if (!throws) this.#reportOnce(operation, variable, unit)
      this.#telling = false
    }
    if (throws) throw new LateWriteError(variable, unit)
  }

  #reportOnce(operation: 'read' | 'write', variable: string, unit: string): void {
    if (this.#reported.size >= maxCallSites) return
    const callSite = findCallSite()
    const key = `${operation} ${variable} ${callSite}`
    if (this.#reported.has(key)) return
    this.#reported.add(key)
    try {
      this.#report({ operation, variable, unit, callSite })
    } catch (error) {
      // Whoever has read a variable does not fail for the sake of the report.
      console.error(`logical-context: onLateUse has failed: ${show(error)}`)
    }
  }
}

/** For the units that are told nothing else. */
export const lateUseByDefault: LateUseWatch = processSingleton('lateUse', () => new LateUseWatch())

function throwsByDefault(): boolean {
  return process.env['NODE_ENV'] !== 'production'
}

function printLateUse({ operation, variable, unit, callSite }: LateUse): void {
  console.error(`logical-context: late ${operation} of '${variable}', its unit '${unit}' has ended ${callSite}`)
}

/** This package's own frames stand between the line in question and the top of the stack. */
const ownFrames = 7

function findCallSite(): string {
  const { stackTraceLimit } = Error
  Reflect.set(Error, 'stackTraceLimit', ownFrames)
  // A program may have made stacks something else than text.
  const frames = String(new Error('late use').stack).split('\n')
  Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
  return frames[ownFrames]?.trim() ?? ''
}
