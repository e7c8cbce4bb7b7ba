import { isThenable, ReportedKeys } from '../callbacks.ts'
import { processSingleton } from '../context/storage.ts'
import { LateWriteError } from '../errors.ts'
import { noOptions, show } from '../options.ts'
import { contextLate } from './lifecycle.ts'
import { isOwnFrame } from './own-frames.ts'

/** A read or a write of a variable after the end of its unit. */
export interface LateUse {
  operation: 'read' | 'write'
  variable: string
  unit: string
  /** The line of code that did it, as in a stack trace; empty if it is not known. */
  callSite: string
}

/** What happens at a read or a write after the end of a unit. */
export interface LateUseOptions {
  /**
   * What a late write does: `'throw'` a `LateWriteError`, or only `'report'`. Default: throw if `NODE_ENV` is
   * `development` or `test`, else report.
   */
  lateWrites?: 'throw' | 'report'
  /**
   * Called once per call site, for late reads and for late writes that do not throw. Its failure is written to stderr.
   * Default: writes a line to stderr.
   */
  onLateUse?: (use: LateUse) => void
}

/** How often variables were used after the end of their units. */
export interface LateUseCounters {
  readonly reads: number
  readonly writes: number
}

/** Counts late reads and writes, and reports each call site once. */
export class LateUseWatch implements LateUseCounters {
  /** Undefined until the first late write: to read the environment costs as much as to open a scope. */
  #throws: boolean | undefined
  readonly #onLateUse: (use: LateUse) => unknown
  readonly #reported = new ReportedKeys()
  #isReporting = false
  #reads = 0
  #writes = 0

  constructor({ lateWrites, onLateUse = printLateUse }: LateUseOptions = noOptions) {
    this.#throws = lateWrites === undefined ? undefined : lateWrites === 'throw'
    this.#onLateUse = onLateUse
  }

  get reads(): number {
    return this.#reads
  }

  get writes(): number {
    return this.#writes
  }

  /** @throws {LateWriteError} for a write, if writes are configured to throw. */
  report(operation: 'read' | 'write', variable: string, unit: string): void {
    if (operation === 'read') this.#reads++
    else this.#writes++
    const throws = operation === 'write' && (this.#throws ??= throwsByDefault())
    // The code that receives the report may use a variable too, just as late.
    if (!this.#isReporting) {
      this.#isReporting = true
      try {
        if (contextLate.hasSubscribers) contextLate.publish({ operation, variable, unit })
        if (!throws) this.#reportOnce(operation, variable, unit)
      } finally {
        this.#isReporting = false
      }
    }
    if (throws) throw new LateWriteError(variable, unit)
  }

  #reportOnce(operation: 'read' | 'write', variable: string, unit: string): void {
    // A stack is expensive.
    if (this.#reported.isFull) return
    const callSite = findCallSite()
    if (!this.#reported.add(`${operation} ${variable} ${callSite}`)) return
    try {
      const returned = this.#onLateUse({ operation, variable, unit, callSite })
      if (isThenable(returned)) Promise.resolve(returned).then(undefined, printFailure)
    } catch (error) {
      // The code that reads a variable does not fail because of the report.
      printFailure(error)
    }
  }
}

/** For units without options of their own. */
export const lateUseByDefault: LateUseWatch = processSingleton('lateUse', () => new LateUseWatch())

function throwsByDefault(): boolean {
  const environment = process.env['NODE_ENV']
  return environment === 'development' || environment === 'test'
}

function printLateUse({ operation, variable, unit, callSite }: LateUse): void {
  console.error(`logical-context: late ${operation} of '${variable}' after the end of its unit '${unit}' ${callSite}`)
}

function printFailure(error: unknown): void {
  console.error(`logical-context: onLateUse failed: ${show(error)}`)
}

/** How many frames of this package are above the line in question, at most. */
const maxOwnFrames = 16
/** In a bundle of the program the package has no folder of its own. Then this many frames are above the line. */
const bundledFrames = 6
/** The first line of the stack that is not in this package. */
function findCallSite(): string {
  const { stackTraceLimit } = Error
  let frames: string[]
  try {
    Reflect.set(Error, 'stackTraceLimit', maxOwnFrames)
    // A program may have changed `stack` to something else than text.
    frames = String(new Error('late use').stack).split('\n').slice(1)
  } catch {
    // So does an `Error.prepareStackTrace` that throws.
    return ''
  } finally {
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
  }
  // In a bundle of Turbopack, `import.meta.url` is the address of the source.
  const isBundled = frames[0] === undefined || !isOwnFrame(frames[0])
  const callSite = isBundled ? frames[bundledFrames] : frames.find((frame) => !isOwnFrame(frame))
  return callSite?.trim() ?? ''
}
