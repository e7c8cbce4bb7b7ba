/** Something that can be told to stop. */
export interface Abortable {
  abort(reason: unknown): void
}

/**
 * An AbortSignal that is made when somebody reads it: most tasks never do, and an AbortController costs more than the
 * rest of a spawn.
 */
export class LazySignal {
  #controller: AbortController | undefined
  #aborted = false
  #reason: unknown

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#aborted) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  get aborted(): boolean {
    return this.#aborted
  }

  abort(reason: unknown): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#reason = reason
    this.#controller?.abort(reason)
  }
}

/** Who listens to which signal. One listener a signal: one listener a task would make ten thousand tasks quadratic. */
const followers = new WeakMap<AbortSignal, Set<Abortable>>()

/** Lets `target` abort with `signal`, until the function it returns is called. */
export function follow(signal: AbortSignal, target: Abortable): () => void {
  if (signal.aborted) {
    target.abort(signal.reason)
    return () => {}
  }
  const known = followers.get(signal)
  const targets = known ?? new Set<Abortable>()
  targets.add(target)
  if (known === undefined) {
    followers.set(signal, targets)
    signal.addEventListener('abort', () => abortAll(targets, signal.reason), { once: true })
  }
  return () => targets.delete(target)
}

/** Those that a listener adds meanwhile are not aborted: a listener that starts its work again would have no end. */
export function abortAll(targets: Iterable<Abortable>, reason: unknown): void {
  for (const target of Array.from(targets)) target.abort(reason)
}
