import { CancelledError } from '../errors.ts'
import type { Link, LinkedList } from './linked-list.ts'
import type { Task } from './task.ts'
import type { Limits } from './task-limits.ts'

/**
 * Where a task is: `running`; `queued` for a place among these; not yet accepted, because its group (`outside`) or its
 * unit (`parked`) has no place; or `extra`, beyond the limits.
 */
type Place = 'running' | 'queued' | 'outside' | 'parked' | 'extra'

/** A task's place in a group with limits. */
export class Ticket {
  place: Place
  /** With this it waits, unless its place is among the running ones. */
  link: Link<Task> | undefined = undefined
  readonly share: UnitShare | undefined
  #accepted: PromiseWithResolvers<void> | undefined

  constructor(place: Place, share: UnitShare | undefined) {
    this.place = place
    this.share = share
  }

  /** Whether the task starts with its spawn. */
  get begins(): boolean {
    return this.place === 'running' || this.place === 'extra'
  }

  accepted(task: Task): Promise<void> {
    if (this.place === 'extra') return task.result().then(nothing, nothing)
    if (this.place === 'running' || this.place === 'queued') return Promise.resolve()
    this.#accepted ??= Promise.withResolvers()
    this.#accepted.promise.catch(nothing)
    return this.#accepted.promise
  }

  accept(): void {
    this.#accepted?.resolve()
  }

  /** The error of a task that was aborted before it began. */
  withdraw(task: string, reason: unknown): Error {
    const what = `The task '${task}' was aborted before it began`
    const error = new CancelledError(what, 'Spawn it again if its work is still needed.', { cause: reason })
    this.#accepted?.reject(error)
    return error
  }
}

/** What one unit has in one group. It knows nothing of the unit, which it may outlive. */
export interface UnitShare {
  readonly limits: Limits
  readonly next: UnitShare | undefined
  /** How many tasks count against `maxPerRequest`. */
  live: number
  /** The tasks that wait for that. */
  readonly parked: LinkedList<Link<Task>>
}

function nothing(): void {}
