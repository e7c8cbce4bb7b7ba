import { Link, LinkedList } from './linked-list.ts'
import type { Abortable } from './timer.ts'

/** What follows one signal, with one listener: with a listener for each task, ten thousand tasks took quadratic time. */
class Followers extends LinkedList<Link<Abortable>> {
  readonly #signal: AbortSignal

  constructor(signal: AbortSignal) {
    super()
    this.#signal = signal
    signal.addEventListener('abort', this.#abort)
  }

  override delete(follower: Link<Abortable>): void {
    super.delete(follower)
    if (this.size > 0) return
    // A composite signal that has a listener lives as long as its sources: nodejs/node#64476.
    this.#signal.removeEventListener('abort', this.#abort)
    followersOf.delete(this.#signal)
  }

  readonly #abort = (): void => {
    for (const { item } of this.items) item.abort(this.#signal.reason)
  }
}

const followersOf = new WeakMap<AbortSignal, Followers>()

/** The place of a target among the followers of a signal. */
export class Follower extends Link<Abortable> {
  readonly #followers: Followers

  /** Aborts `target` with `signal`, until `leave`. The caller checks that the signal has not aborted. */
  constructor(signal: AbortSignal, target: Abortable) {
    super(target)
    this.#followers = followersOf.get(signal) ?? new Followers(signal)
    followersOf.set(signal, this.#followers)
    this.#followers.add(this)
  }

  leave(): void {
    this.#followers.delete(this)
  }
}
