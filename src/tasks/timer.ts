/** Node calls the function of a timer that is longer at once. */
export const maxTimerMs: number = 2 ** 31 - 1

export interface AfterOptions {
  /** Whether the timer keeps the process alive. Default: true. */
  ref?: boolean
}

/** Calls `fn` once after a time, however long, until the returned function is called. */
export function after(ms: number, fn: () => void, { ref = true }: AfterOptions = {}): () => void {
  let timer: NodeJS.Timeout
  const arm = (leftMs: number) => {
    const next = leftMs > maxTimerMs ? () => arm(leftMs - maxTimerMs) : fn
    timer = setTimeout(next, Math.min(Math.max(0, Math.ceil(leftMs)), maxTimerMs))
    if (!ref) timer.unref()
  }
  arm(ms)
  return () => clearTimeout(timer)
}

/** A limit of time for work that can be aborted, and the error that says that it is over. */
export class TimeLimit {
  /** In milliseconds since the epoch. */
  readonly deadline: number
  /** By the clock that cannot be set. */
  readonly #at: number
  readonly #target: { abort(reason: unknown): void }
  readonly #error: () => Error

  constructor(target: { abort(reason: unknown): void }, deadline: number, leftMs: number, error: () => Error) {
    this.deadline = deadline
    this.#at = performance.now() + leftMs
    this.#target = target
    this.#error = error
  }

  /** The system clock may be set back, so the clock that comes first counts. */
  get leftMs(): number {
    return Math.min(this.deadline - Date.now(), this.#at - performance.now())
  }

  /** Aborts the work. */
  expire(): void {
    const error = this.#error()
    expiries.add(error)
    this.#target.abort(error)
  }
}

const expiries = new WeakSet<object>()

/** Whether a value is the error of a limit that is over. */
export function isExpiry(reason: unknown): boolean {
  return expiries.has(reason as object)
}
