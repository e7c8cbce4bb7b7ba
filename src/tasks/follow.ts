import { Link, LinkedList } from './linked-list.ts'

/** Something that a signal can abort. */
interface Abortable {
  abort(reason: unknown): void
}

/** What follows a signal, and the one listener: with a listener for each task, ten thousand tasks took quadratic time. */
interface Followers {
  readonly targets: LinkedList<Link<Abortable>>
  readonly onAbort: () => void
}

const followersOf = new WeakMap<AbortSignal, Followers>()

/** Aborts `target` with `signal`, until the returned function is called. The caller checks that the signal has not aborted. */
export function follow(signal: AbortSignal, target: Abortable): () => void {
  const { targets, onAbort } = followersOf.get(signal) ?? listenTo(signal)
  const link = new Link(target)
  targets.add(link)
  return () => {
    targets.delete(link)
    if (targets.size > 0) return
    // A composite signal that has a listener lives as long as its sources: nodejs/node#64476.
    signal.removeEventListener('abort', onAbort)
    followersOf.delete(signal)
  }
}

function listenTo(signal: AbortSignal): Followers {
  const targets = new LinkedList<Link<Abortable>>()
  const onAbort = () => targets.items.forEach(({ item }) => item.abort(signal.reason))
  const followers = { targets, onAbort }
  followersOf.set(signal, followers)
  signal.addEventListener('abort', onAbort)
  return followers
}
