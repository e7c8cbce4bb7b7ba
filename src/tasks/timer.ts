/** A timer of Node's that is longer fires at once. */
const maxTimerMs = 2 ** 31 - 1

export interface AfterOptions {
  /** Whether the process stays alive for it. Default: true. */
  ref?: boolean
}

/** Calls `fn` once after a time, however long, until the function it returns is called. */
export function after(ms: number, fn: () => void, { ref = true }: AfterOptions = {}): () => void {
  let timer: NodeJS.Timeout
  const arm = (leftMs: number) => {
    const next = leftMs > maxTimerMs ? () => arm(leftMs - maxTimerMs) : fn
    timer = setTimeout(next, Math.min(Math.max(0, leftMs), maxTimerMs))
    if (!ref) timer.unref()
  }
  arm(ms)
  return () => clearTimeout(timer)
}
