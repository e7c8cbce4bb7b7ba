import { anyOf, type Check, type Checks, oneOf } from '../options.ts'
import { Link, LinkedList } from './linked-list.ts'
import type { Task } from './task.ts'
import type { Unit } from './unit.ts'

/** How many tasks a group accepts, and what it does when it is full. */
export interface TaskLimits {
  /** How many tasks run at a time. Default: no limit. */
  maxConcurrent?: number
  /** How many accepted tasks are deferred until a slot is free, first in, first out. Default: ten times `maxConcurrent`. */
  maxQueued?: number
  /** How many running and queued tasks one unit has, for example a request. Default: no limit. */
  maxPerRequest?: number
  /**
   * What a spawn does if there is no slot: `'reject'` throws a `GroupFullError`; `'wait'` defers the task until there is
   * one, and the spawner waits with `await task.accepted()`. The number of tasks that wait is not limited. Default:
   * `'reject'`.
   */
  whenFull?: 'reject' | 'wait'
}

/** The limits of a server's group: enough for a healthy server, and a bound for an overloaded one. */
export const serverLimits = { maxConcurrent: 1_000, maxQueued: 10_000, maxPerRequest: 100 } as const

export const limitChecks: Checks = {
  maxConcurrent: aCount(1),
  maxQueued: aCount(0),
  maxPerRequest: aCount(1),
  whenFull: oneOf('reject', 'wait'),
}

/** Creates the limits of a group; undefined if the options set none, so that those groups pay nothing. */
export function limitsOf(owner: string, options: TaskLimits): Limits | undefined {
  const { maxConcurrent, maxQueued, maxPerRequest, whenFull } = options
  if (maxConcurrent === undefined && maxQueued !== undefined) {
    throw new TypeError(
      `${owner}: option 'maxQueued' expected 'maxConcurrent' with it, got none: without it, no task is queued.`,
    )
  }
  if (maxConcurrent !== undefined || maxPerRequest !== undefined) return new Limits(options)
  if (whenFull === undefined) return undefined
  throw new TypeError(`${owner}: option 'whenFull' expected 'maxConcurrent' or 'maxPerRequest' with it, got neither.`)
}

/**
 * Assigns the slots of a group, like a bulkhead.
 *
 * ```
 * spawn ──► waiting (unit at its limit) ──► waiting (queue full) ──► queued ──► running
 * ```
 *
 * A task enters at the last state that has a free slot. If the first free slot is further left, `whenFull` decides.
 */
export class Limits {
  readonly #maxConcurrent: number
  readonly #maxQueued: number
  readonly #maxPerRequest: number
  readonly #rejects: boolean
  readonly #queue = new LinkedList<Link<Task>>()
  /** The tasks that wait for a slot in the queue. */
  readonly #waiting = new LinkedList<Link<Task>>()
  #running = 0
  /** How many tasks wait until their unit has fewer tasks. They are in the lists of their units. */
  #waitingForUnit = 0
  #isAssigning = false

  constructor(limits: TaskLimits) {
    const { maxConcurrent = Infinity, maxPerRequest = Infinity, whenFull = 'reject' } = limits
    this.#maxConcurrent = maxConcurrent
    this.#maxQueued = limits.maxQueued ?? 10 * maxConcurrent
    this.#maxPerRequest = maxPerRequest
    this.#rejects = whenFull === 'reject'
  }

  get queued(): number {
    return this.#queue.size
  }

  /** How many tasks are not accepted yet. */
  get waiting(): number {
    return this.#waiting.size + this.#waitingForUnit
  }

  /** Returns a slot for a task that `unit` spawns; undefined if the task is refused. */
  admit(unit: Unit | undefined): Slot | undefined {
    const share = this.#shareOf(unit)
    const unitIsFull = share !== undefined && share.slots >= this.#maxPerRequest
    const free = unitIsFull ? undefined : this.#freeState()
    if (free === undefined && this.#rejects) return undefined
    const slot = new Slot(free ?? (unitIsFull ? 'waiting for unit' : 'waiting'), share)
    if (share !== undefined && !unitIsFull) share.slots++
    if (free === 'running') this.#running++
    return slot
  }

  /**
   * Returns a slot for a task that begins after the response. It does not run until then, so that the request can wait for
   * other tasks.
   */
  admitLater(unit: Unit | undefined): Slot | undefined {
    const share = this.#shareOf(unit)
    const isFull = this.#freeState() === undefined || (share !== undefined && share.slots >= this.#maxPerRequest)
    if (isFull && this.#rejects) return undefined
    if (share !== undefined) share.slots++
    return new Slot('after response', share)
  }

  /** Puts a task that `admitLater` accepted into the queue, whatever its length. */
  queue(task: Task, slot: Slot): void {
    slot.state = 'queued'
    this.defer(task, slot)
    this.#assign()
  }

  /** The limit that refused a task of `unit`, for the error. */
  describe(unit: Unit | undefined): string {
    const slots = this.#shareOf(unit)?.slots ?? 0
    if (slots >= this.#maxPerRequest)
      return `'${unit?.name}' has ${slots} running and queued there, the maximum for one unit`
    return `it is full, with ${this.#running} running and ${this.#queue.size} queued`
  }

  /** Puts a deferred task into the list of its slot's state. */
  defer(task: Task, slot: Slot): void {
    slot.link = new Link(task)
    this.#listOf(slot)?.add(slot.link)
    if (slot.state === 'waiting for unit') this.#waitingForUnit++
  }

  /** Assigns the slot of a task that ended, or was withdrawn, to the next task. */
  release(slot: Slot): void {
    const { state, link, share } = slot
    if (state === 'running') this.#running--
    if (link !== undefined) this.#listOf(slot)?.delete(link)
    if (state === 'waiting for unit') this.#waitingForUnit--
    else if (share !== undefined) {
      share.slots--
      this.#takeFromUnit(share)
    }
    this.#assign()
  }

  #listOf({ state, share }: Slot): LinkedList<Link<Task>> | undefined {
    if (state === 'queued') return this.#queue
    if (state === 'after response') return undefined
    return state === 'waiting' ? this.#waiting : share?.waiting
  }

  #freeState(): 'running' | 'queued' | undefined {
    if (this.#running < this.#maxConcurrent) return 'running'
    return this.#queue.size < this.#maxQueued ? 'queued' : undefined
  }

  #shareOf(unit: Unit | undefined): UnitShare | undefined {
    if (unit === undefined || this.#maxPerRequest === Infinity) return undefined
    for (let share = unit.shares; share !== undefined; share = share.next) if (share.limits === this) return share
    return (unit.shares = { limits: this, next: unit.shares, slots: 0, waiting: new LinkedList() })
  }

  #takeFromUnit(share: UnitShare): void {
    const next = share.waiting.shift()
    if (next?.item.slot === undefined) return
    this.#waitingForUnit--
    share.slots++
    next.item.slot.state = 'waiting'
    this.#waiting.add(next)
  }

  #assign(): void {
    // A task that ends at once calls this again. The loop below continues with the next task, so the stack does not grow.
    if (this.#isAssigning) return
    this.#isAssigning = true
    try {
      for (let next = this.#next(); next !== undefined; next = this.#next()) next.begin()
    } finally {
      this.#isAssigning = false
    }
  }

  /** Moves tasks up; returns the next one that begins. */
  #next(): Task | undefined {
    for (;;) {
      const free = this.#freeState()
      if (free === undefined) return undefined
      const next = (free === 'running' ? this.#queue.shift() : undefined) ?? this.#waiting.shift()
      if (next?.item.slot === undefined) return undefined
      const { slot } = next.item
      slot.state = free
      slot.accept()
      if (free === 'queued') {
        this.#queue.add(next)
        continue
      }
      slot.link = undefined
      this.#running++
      return next.item
    }
  }
}

function aCount(least: number): Check {
  const accepts = (value: unknown) => value === Infinity || (Number.isInteger(value) && (value as number) >= least)
  return anyOf(`a whole number of at least ${least}, or Infinity`, accepts)
}

/** The slot of a task in a group with limits. */
export class Slot {
  state: 'after response' | 'running' | 'queued' | 'waiting' | 'waiting for unit'
  /** The place in a list, for a deferred task. */
  link: Link<Task> | undefined = undefined
  isReleased = false
  /** The next slot whose task was never created, because the stack overflowed. */
  nextLost: Slot | undefined = undefined
  readonly share: UnitShare | undefined
  #accepted: PromiseWithResolvers<void> | undefined

  constructor(state: Slot['state'], share: UnitShare | undefined) {
    this.state = state
    this.share = share
  }

  accepted(): Promise<void> {
    if (this.state !== 'waiting' && this.state !== 'waiting for unit') return Promise.resolve()
    this.#accepted ??= Promise.withResolvers()
    this.#accepted.promise.catch(() => {})
    return this.#accepted.promise
  }

  accept(): void {
    this.#accepted?.resolve()
  }

  withdraw(error: Error): void {
    this.#accepted?.reject(error)
  }
}

/** The tasks of one unit in one group. It does not refer to the unit, which it may outlive. */
export interface UnitShare {
  readonly limits: Limits
  readonly next: UnitShare | undefined
  /** How many tasks count against `maxPerRequest`. */
  slots: number
  /** The tasks that wait until it has fewer. */
  readonly waiting: LinkedList<Link<Task>>
}
