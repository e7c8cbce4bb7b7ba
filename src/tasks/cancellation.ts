import type { Cell } from '../context/cell.ts'
import { storage } from '../context/storage.ts'
import { Link, LinkedList } from './linked-list.ts'

/** Something that can be told to stop. */
export interface Abortable {
  abort(reason: unknown): void
}

/**
 * What stops a unit of work, and all that is tied to it. The AbortSignal is made when somebody reads it: most tasks
 * never do, and an AbortController costs more than the rest of a spawn.
 */
export class Cancellation {
  #controller: AbortController | undefined
  #targets: LinkedList<Link<Abortable>> | undefined
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

  get reason(): unknown {
    return this.#reason
  }

  get hasTargets(): boolean {
    return this.#targets !== undefined && this.#targets.size > 0
  }

  /** The signal's listeners run in `cell`, the one of the work that is stopped, whoever stops it. */
  abort(reason: unknown, cell: Cell | undefined): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#reason = reason ?? new DOMException('The work was aborted.', 'AbortError')
    const controller = this.#controller
    // Without a cell that is outside any unit, as the work itself.
    if (controller !== undefined) storage.run(cell as Cell, () => controller.abort(this.#reason))
    if (this.#targets !== undefined) abortAll(this.#targets, this.#reason)
  }

  /** Lets `target` abort with this, at once if that has happened, until the function that it returns is called. */
  tie(target: Abortable): () => void {
    if (this.#aborted) {
      target.abort(this.#reason)
      return nothing
    }
    return tieIn((this.#targets ??= new LinkedList()), target)
  }
}

/** Who listens to which signal. One listener a signal: one listener a task would make ten thousand tasks quadratic. */
const followers = new WeakMap<AbortSignal, LinkedList<Link<Abortable>>>()

/** Lets `target` abort with `signal`, until the function it returns is called. */
export function follow(signal: AbortSignal, target: Abortable): () => void {
  if (signal.aborted) {
    target.abort(signal.reason)
    return nothing
  }
  const known = followers.get(signal)
  const targets = known ?? new LinkedList<Link<Abortable>>()
  if (known === undefined) {
    followers.set(signal, targets)
    signal.addEventListener('abort', () => abortAll(targets, signal.reason), { once: true })
  }
  return tieIn(targets, target)
}

/** A target may be tied to several. */
function tieIn(targets: LinkedList<Link<Abortable>>, target: Abortable): () => void {
  const link = new Link(target)
  targets.add(link)
  return () => targets.delete(link)
}

/** Those that a listener adds meanwhile are not aborted: a listener that starts its work again would have no end. */
function abortAll(targets: LinkedList<Link<Abortable>>, reason: unknown): void {
  for (const { item: target } of targets.items) target.abort(reason)
}

/** Whether an error says no more than that work has stopped because it was told to. */
export function saysCancelled(error: unknown, { aborted, reason }: Cancellation): boolean {
  if (!aborted) return false
  if (error === reason) return true
  const { name, code, cause } = (error ?? {}) as { name?: unknown; code?: unknown; cause?: unknown }
  // The form of the platform, with which `fetch` and Node's own functions reject.
  return cause === reason || name === 'AbortError' || code === 'ABORT_ERR'
}

function nothing(): void {}
