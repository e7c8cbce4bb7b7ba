import { noOptions } from '../options.ts'

/** Node calls the function of a timer that is longer at once. */
export const maxTimerMs: number = 2 ** 31 - 1

export interface AfterOptions {
  /** Whether the timer keeps the process alive. Default: true. */
  ref?: boolean
}

/** Calls `fn` once after a time, however long, until the returned function is called. */
export function after(ms: number, fn: () => void, { ref = true }: AfterOptions = noOptions): () => void {
  let timer: NodeJS.Timeout
  const arm = (leftMs: number) => {
    const next = leftMs > maxTimerMs ? () => arm(leftMs - maxTimerMs) : fn
    timer = setTimeout(next, Math.min(Math.max(0, Math.ceil(leftMs)), maxTimerMs))
    if (!ref) timer.unref()
  }
  arm(ms)
  return () => clearTimeout(timer)
}

/** What a signal or a limit of time can abort. */
export interface Abortable {
  abort(reason: unknown): void
}

/**
 * A limit of time for work that can be aborted, and the error that says that it is over. It is measured by a clock that
 * cannot be set.
 */
export class TimeLimit {
  /** In milliseconds, by `performance.now()`. */
  readonly at: number
  /** What it aborts. */
  readonly target: Abortable
  readonly #error: () => Error
  readonly #isSet: boolean
  #deadline: number | undefined

  /** @param deadline In milliseconds since the epoch, if the limit is set as a time. */
  constructor(target: Abortable, leftMs: number, error: () => Error, deadline?: number) {
    this.at = performance.now() + leftMs
    this.target = target
    this.#error = error
    this.#isSet = deadline !== undefined
    this.#deadline = deadline
  }

  /** In milliseconds since the epoch; the same at each read. */
  get deadline(): number {
    return (this.#deadline ??= Math.round(Date.now() + this.at - performance.now()))
  }

  get leftMs(): number {
    const leftMs = this.at - performance.now()
    // A system clock that is set forward brings a time nearer. One that is set back does not delay it.
    return this.#isSet ? Math.min(leftMs, this.deadline - Date.now()) : leftMs
  }

  /** Aborts the work. */
  expire(): void {
    const error = this.#error()
    expiries.add(error)
    this.target.abort(error)
  }
}

const expiries = new WeakSet<object>()

/** Whether a value is the error of a limit that is over. */
export function isExpiry(reason: unknown): boolean {
  return expiries.has(reason as object)
}
