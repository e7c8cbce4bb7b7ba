import { processSingleton } from '../context/storage.ts'
import { channels, type EventChannel, type EventListener } from '../channels.ts'
import type { Doctor } from '../doctor/doctor.ts'
import type { TaskGroup } from '../tasks/task-group.ts'
import type { DrainStatus, FindingStatus, GroupStatus } from './row.ts'
import { cut } from './row-text.ts'

/** Older groups, drains and findings are not shown. */
const maxItems = 50

interface Drain {
  readonly group: TaskGroup
  readonly status: DrainStatus
}

/** Observes task groups, drains, and lost and late uses of the context. */
export class StatusWatch implements Disposable {
  /** Groups that outlive a call. A weak reference, because a program can create many. */
  readonly #groups = new Map<string, WeakRef<TaskGroup>>()
  readonly #drains: Drain[] = []
  /** Without the doctor: what happened, and how often. */
  readonly #seen = new Map<string, FindingStatus & { count: number }>()
  readonly #restore: (() => void)[] = []
  readonly #left: () => Pick<DrainStatus, 'unitsLeft' | 'tasksLeft'>

  /**
   * @param left returns the work of the process that has not ended.
   * @param onDrain is called when a drain begins, and with its group when it ends.
   */
  constructor(left: () => Pick<DrainStatus, 'unitsLeft' | 'tasksLeft'>, onDrain: (ended?: TaskGroup) => void) {
    this.#left = left
    this.#on(channels.taskSpawn, ({ task }) => this.#know(task.group))
    this.#on(channels.taskRefuse, ({ group }) => this.#know(group))
    this.#on(channels.drainStart, ({ group, timeoutMs }) => {
      const startedAt = Date.now()
      this.#drains.push({ group, status: { group: cut(group.name), timeoutMs, startedAt, ...left() } })
      if (this.#drains.length > maxItems) this.#drains.shift()
      onDrain()
    })
    this.#on(channels.drainEnd, ({ group, reachedLimit }) => {
      const at = this.#drains.findLastIndex((drain) => drain.group === group && drain.status.endedAt === undefined)
      const drain = this.#drains[at]
      if (drain === undefined) return
      this.#drains[at] = { group, status: { ...drain.status, ...left(), endedAt: Date.now(), reachedLimit } }
      onDrain(group)
    })
    this.#on(channels.contextLate, ({ operation, variable, unit }) =>
      this.#saw('late', `${operation} of '${variable}' after the end of '${unit}'`),
    )
    this.#on(channels.contextLost, ({ operation }) => this.#saw('outside', `${operation} outside any unit`))
  }

  get drains(): DrainStatus[] {
    return this.#drains.map(({ status }) => (status.endedAt === undefined ? { ...status, ...this.#left() } : status))
  }

  get isDraining(): boolean {
    return this.#drains.some(({ status }) => status.endedAt === undefined)
  }

  get groups(): GroupStatus[] {
    return Array.from(this.#groups.values(), (reference) => reference.deref()).flatMap((group) => {
      if (group === undefined) return []
      const { running, queued, waiting, failed, refused } = group.counters
      return [{ name: cut(group.name), running, queued, waiting, failed, refused }]
    })
  }

  get isDoctorOn(): boolean {
    return doctor.current !== undefined
  }

  /** Those of the doctor, with their call sites, if it is on. */
  get findings(): FindingStatus[] {
    if (doctor.current === undefined) return Array.from(this.#seen.values(), (finding) => ({ ...finding }))
    return doctor.current.findings.slice(-maxItems).map(({ kind, what, count, callSite, library, remedy }) => {
      return { kind, what: cut(what), count, callSite, library, advice: remedy.advice, page: remedy.page }
    })
  }

  [Symbol.dispose](): void {
    for (const restore of this.#restore.splice(0)) restore()
  }

  #on<Message>(source: EventChannel<Message>, listener: EventListener<Message>): void {
    source.subscribe(listener)
    this.#restore.push(() => source.unsubscribe(listener))
  }

  #know(group: TaskGroup): void {
    // The group of one call ends with it.
    if (group.caller !== undefined || this.#groups.get(group.name)?.deref() === group) return
    this.#groups.set(group.name, new WeakRef(group))
    for (const name of this.#groups.keys()) if (this.#groups.size > maxItems) this.#groups.delete(name)
  }

  #saw(kind: string, what: string): void {
    const known = this.#seen.get(what)
    if (known !== undefined) known.count++
    else if (this.#seen.size < maxItems) this.#seen.set(what, { kind, what: cut(what), count: 1 })
  }
}

/** The doctor of the process, if its module is loaded and it is on. */
const doctor: { readonly current: Doctor | undefined } = processSingleton('doctor', () => ({ current: undefined }))
