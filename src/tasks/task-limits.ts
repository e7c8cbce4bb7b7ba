import { CancelledError } from '../errors.ts'
import { anyOf, type Check, type Checks, oneOf } from '../options.ts'
import { Link, LinkedList } from './linked-list.ts'
import type { Task } from './task.ts'
import type { Unit } from './unit.ts'

export interface TaskLimits {
  /** How many tasks run at a time. Default: no limit. */
  maxConcurrent?: number
  /** How many tasks wait for one of those places, first come, first served. Default: ten times `maxConcurrent`. */
  maxQueued?: number
  /** How many tasks that were spawned in one unit, a request for one, run or wait. Default: no limit. */
  maxPerRequest?: number
  /**
   * What a spawn does when there is no place: `'reject'` throws a `GroupFullError`; `'wait'` lets the spawner wait with
   * `await task.accepted()`, and nothing bounds those who do not; `'caller'` starts the task at once, beyond the limits,
   * and `await task.accepted()` waits for its end. Default: `'reject'`.
   */
  whenFull?: 'reject' | 'wait' | 'caller'
}

/** Enough for a server that is well, and a bound for one that is not. */
export const serverLimits = { maxConcurrent: 1_000, maxQueued: 10_000, maxPerRequest: 100 } as const

export const limitChecks: Checks = {
  maxConcurrent: aCount(1),
  maxQueued: aCount(0),
  maxPerRequest: aCount(1),
  whenFull: oneOf('reject', 'wait', 'caller'),
}

/** The limits that options ask for; undefined if for none, which then cost nothing. */
export function limitsOf(owner: string, options: TaskLimits): Limits | undefined {
  const { maxConcurrent, maxQueued, maxPerRequest, whenFull } = options
  if (maxConcurrent === undefined && maxQueued !== undefined) {
    throw new TypeError(`${owner}: option 'maxQueued' expected 'maxConcurrent' beside it: without it, no task waits.`)
  }
  if (maxConcurrent !== undefined || maxPerRequest !== undefined) return new Limits(options)
  if (whenFull === undefined) return undefined
  throw new TypeError(`${owner}: option 'whenFull' expected 'maxConcurrent' or 'maxPerRequest' beside it.`)
}

/** Gives out the places of a group. */
export class Limits {
  readonly #maxConcurrent: number
  readonly #maxQueued: number
  readonly #maxPerRequest: number
  readonly #whenFull: 'reject' | 'wait' | 'caller'
  readonly #queue = new LinkedList<Link<Task>>()
  readonly #outside = new LinkedList<Link<Task>>()
  #running = 0
  #parkedCount = 0
  #moving = false

  constructor(limits: TaskLimits) {
    const { maxConcurrent = Infinity, maxPerRequest = Infinity, whenFull = 'reject' } = limits
    this.#maxConcurrent = maxConcurrent
    this.#maxQueued = limits.maxQueued ?? 10 * maxConcurrent
    this.#maxPerRequest = maxPerRequest
    this.#whenFull = whenFull
  }

  get queued(): number {
    return this.#queue.size
  }

  /** How many tasks are not accepted yet. */
  get waiting(): number {
    return this.#outside.size + this.#parkedCount
  }

  /** A place for a task that is about to be made for `unit`; undefined if the task is refused. */
  admit(unit: Unit | undefined): Ticket | undefined {
    const share = this.#shareOf(unit)
    const unitIsFull = share !== undefined && share.live >= this.#maxPerRequest
    const free = unitIsFull ? undefined : this.#freePlace()
    if (free === undefined && this.#whenFull === 'reject') return undefined
    if (free === undefined && this.#whenFull === 'caller') return new Ticket('extra', undefined)
    if (share !== undefined && !unitIsFull) share.live++
    if (free === 'running') this.#running++
    return new Ticket(free ?? (unitIsFull ? 'parked' : 'outside'), share)
  }

  /** Which limit has refused a task of `unit`. */
  describe(unit: Unit | undefined): string {
    const live = this.#shareOf(unit)?.live ?? 0
    if (live >= this.#maxPerRequest) return `'${unit?.name}' has ${live} tasks there, as many as one unit may`
    return `it is full, with ${this.#running} running and ${this.#queue.size} queued`
  }

  /** Lets a task wait whose place says so. */
  enqueue(task: Task, ticket: Ticket): void {
    ticket.link = new Link(task)
    this.#listOf(ticket)?.add(ticket.link)
    if (ticket.place === 'parked') this.#parkedCount++
  }

  /** Takes the place of a task that has ended, or was withdrawn, and gives it to the next. */
  release(ticket: Ticket): void {
    const { place, link, share } = ticket
    if (place === 'running') this.#running--
    if (link !== undefined) this.#listOf(ticket)?.delete(link)
    if (place === 'parked') this.#parkedCount--
    else if (share !== undefined) {
      share.live--
      this.#unpark(share)
    }
    this.#moveUp()
  }

  /** Where a task waits that has not begun. */
  #listOf({ place, share }: Ticket): LinkedList<Link<Task>> | undefined {
    if (place === 'queued') return this.#queue
    return place === 'outside' ? this.#outside : share?.parked
  }

  #freePlace(): 'running' | 'queued' | undefined {
    if (this.#running < this.#maxConcurrent) return 'running'
    return this.#queue.size < this.#maxQueued ? 'queued' : undefined
  }

  #shareOf(unit: Unit | undefined): UnitShare | undefined {
    if (unit === undefined || this.#maxPerRequest === Infinity) return undefined
    for (let share = unit.shares; share !== undefined; share = share.next) if (share.limits === this) return share
    return (unit.shares = { limits: this, next: unit.shares, live: 0, parked: new LinkedList() })
  }

  #unpark(share: UnitShare): void {
    const next = share.parked.shift()
    if (next?.item.ticket === undefined) return
    this.#parkedCount--
    share.live++
    next.item.ticket.place = 'outside'
    this.#outside.add(next)
  }

  #moveUp(): void {
    // A task that ends at once comes back here; the loop below goes on with the next, and no stack grows.
    if (this.#moving) return
    this.#moving = true
    for (;;) {
      const free = this.#freePlace()
      if (free === undefined) break
      const next = (free === 'running' ? this.#queue.shift() : undefined) ?? this.#outside.shift()
      if (next?.item.ticket === undefined) break
      const { ticket } = next.item
      ticket.place = free
      ticket.accept()
      if (free === 'queued') {
        this.#queue.add(next)
        continue
      }
      ticket.link = undefined
      this.#running++
      next.item.begin()
    }
    this.#moving = false
  }
}

function aCount(least: number): Check {
  const accepts = (value: unknown) => value === Infinity || (Number.isInteger(value) && (value as number) >= least)
  return anyOf(`a whole number of at least ${least}, or Infinity`, accepts)
}

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
