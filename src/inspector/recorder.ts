import { randomBytes } from 'node:crypto'
import type { Cell } from '../context/cell.ts'
import { peek } from '../context/context-var.ts'
import { root } from '../context/storage.ts'
import type { LogFields } from '../bridges/log-fields.ts'
import { channels, type EventChannel, type EventListener } from '../channels.ts'
import { isCancellationError } from '../tasks/cancellation-error.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { Task } from '../tasks/task.ts'
import { after } from '../tasks/timer.ts'
import { callingUnit, type Unit } from '../tasks/unit.ts'
import { requestId } from '../variables/request-id.ts'
import { traceContext } from '../variables/trace-context.ts'
import type { FieldValues, Row, RowKind, RowOutcome } from './row.ts'
import { cut, policyText, reasonText, textOf } from './row-text.ts'
import type { Sampler } from './sampler.ts'

/** How long changes are collected before they are published, in milliseconds. */
const flushMs = 50
const maxNotes = 5
/** A caller can abort a call with a signal of its own. */
const noReason = Symbol('no reason')

export interface RecorderOptions {
  readonly service: string
  readonly fields: LogFields
  readonly sampler: Sampler
  /** Receives the state of a row. Returns false if there is no room for the row: then it is not recorded any more. */
  readonly publish: (row: Row) => boolean
  /** Called when a row that was published is to be removed. */
  readonly remove: (id: string) => void
}

/** A row while it changes. */
interface Draft {
  row: Row
  /** The unit, until it ends. */
  unit: Unit | undefined
  published: boolean
}

/** Records units and calls from the diagnostics channels, and publishes their rows. It keeps no unit alive. */
export class Recorder implements Disposable {
  /** The id of this process, in the ids of its rows. */
  readonly process: string = randomBytes(4).toString('hex')
  failuresOmitted = 0
  /** How many units, and how many tasks, have not ended. */
  unitsLeft = 0
  tasksLeft = 0
  readonly #options: RecorderOptions
  /** The drafts of what was recorded, by the unit or the call. */
  readonly #drafts = new WeakMap<object, Draft>()
  readonly #hidden = new WeakSet<RequestScope>()
  readonly #changed = new Set<Draft>()
  readonly #restore: (() => void)[] = []
  #lastId = 0
  #cancelFlush: (() => void) | undefined

  constructor(options: RecorderOptions) {
    this.#options = options
    this.#on(channels.scopeOpen, ({ scope }) => this.#scopeOpened(scope))
    this.#on(channels.scopeClose, ({ scope }) => this.#scopeClosed(scope))
    this.#on(channels.scopeEnd, ({ scope }) => this.#scopeEnded(scope))
    this.#on(channels.messageStart, ({ scope, job }) => {
      const { queue, name, attempt, policy } = job
      this.#change(scope, { kind: 'job', name: cut(name === queue ? queue : `${queue} ${name}`), attempt, policy })
    })
    this.#on(channels.messageEnd, ({ scope, outcome, error }) =>
      this.#change(scope, { outcome, reason: reasonText(error, scope) }),
    )
    this.#on(channels.messageSend, ({ queue, policy }) => {
      const now = Date.now()
      this.#addPart('enqueue', cut(queue), { policy, state: 'ended', outcome: 'done', openedAt: now, endedAt: now })
    })
    this.#on(channels.taskSpawn, ({ task }) => {
      this.tasksLeft++
      const [policy, group] = [policyText(task.policy), cut(task.group.name)]
      const draft = this.#addPart('task', cut(task.name), { policy, group })
      if (draft === undefined) return
      draft.unit = task
      this.#drafts.set(task, draft)
    })
    this.#on(channels.taskStart, ({ task }) => {
      const draft = this.#drafts.get(task)
      if (draft?.row.state === 'waiting')
        this.#change(task, { state: 'running', startedAt: Date.now(), reason: undefined })
      this.#refresh(draft)
    })
    this.#on(channels.taskEnd, ({ task, outcome, error }) => {
      this.tasksLeft--
      if (!this.#drafts.has(task) && outcome === 'failed') this.failuresOmitted++
      this.#end(task, { outcome, reason: reasonText(error, task) })
    })
    this.#on(channels.taskAbandon, ({ task }) => this.#note(task, 'aborted at the limit of a drain'))
    this.#on(channels.taskRefuse, ({ name, group, error }) => {
      const now = Date.now()
      const ended = { state: 'ended', outcome: 'refused', openedAt: now, endedAt: now } as const
      this.#addPart('task', cut(name), { ...ended, group: cut(group.name), reason: reasonText(error, callingUnit()) })
    })
    this.#on(channels.callStart, ({ call }) => {
      const draft = this.#addPart('call', cut(call.name), { group: call.client })
      if (draft !== undefined) this.#drafts.set(call, draft)
    })
    this.#on(channels.callEnd, ({ call, status, error }) => {
      const unit = callingUnit()
      const isCancelled = unit?.isCancellation(error) === true || isCancellationError(error, noReason)
      const outcome = isCancelled ? 'cancelled' : error === undefined ? statusOutcome(status) : 'failed'
      this.#end(call, { outcome, status, reason: reasonText(error, unit) })
    })
    this.#on(channels.contextLate, ({ operation, variable }) =>
      this.#note(callingUnit(), `late ${operation} of ${variable}`),
    )
  }

  /** Publishes what has changed now. */
  flush(): void {
    this.#cancelFlush?.()
    this.#cancelFlush = undefined
    for (const draft of this.#changed) {
      this.#refresh(draft)
      draft.published = true
      if (!this.#options.publish(draft.row)) draft.unit = undefined
    }
    this.#changed.clear()
  }

  /** Removes the row of a request, and records nothing that it does from now on. */
  hide(unit: RequestScope | undefined): void {
    if (unit === undefined || this.#hidden.has(unit)) return
    this.#hidden.add(unit)
    this.unitsLeft--
    const draft = this.#drafts.get(unit)
    if (draft === undefined) return
    this.#drafts.delete(unit)
    this.#changed.delete(draft)
    if (draft.published) this.#options.remove(draft.row.id)
  }

  [Symbol.dispose](): void {
    for (const restore of this.#restore.splice(0)) restore()
    this.#cancelFlush?.()
  }

  #on<Message>(source: EventChannel<Message>, listener: EventListener<Message>): void {
    source.subscribe(listener)
    this.#restore.push(() => source.unsubscribe(listener))
  }

  #scopeOpened(scope: RequestScope): void {
    this.unitsLeft++
    const trace = peek(traceContext, scope.cell)
    if (!this.#options.sampler.admitsUnit(trace?.traceId)) return
    // A peer's request has a request id; a unit of this program has none.
    const kind = peek(requestId, scope.cell) === undefined ? 'unit' : 'request'
    const draft = this.#add(kind, cut(scope.name), { unit: scope })
    this.#drafts.set(scope, draft)
    this.#refresh(draft)
  }

  /** The response of a request has closed. For other units, it says only that the function has returned. */
  #scopeClosed(scope: RequestScope): void {
    if (this.#drafts.get(scope)?.row.kind === 'request') this.#change(scope, { state: 'closing', status: scope.status })
  }

  #scopeEnded(scope: RequestScope): void {
    if (!this.#hidden.has(scope)) this.unitsLeft--
    const row = this.#drafts.get(scope)?.row
    if (row === undefined) return
    const { status, abortReason, failure } = scope
    // The outcome of a job is known by now.
    const outcome = row.outcome ?? (abortReason === undefined ? scopeOutcome(scope) : 'cancelled')
    const error = abortReason ?? (outcome === 'failed' ? failure : undefined)
    this.#end(scope, { status, outcome, reason: row.reason ?? reasonText(error, scope) })
  }

  /** Records what the current unit begins; undefined if that unit is not recorded, or if there is too much. */
  #addPart(kind: RowKind, name: string, change: Partial<Row>): Draft | undefined {
    const { sampler } = this.#options
    const unit = callingUnit()
    const parent = unit && this.#drafts.get(unit)
    if (unit !== undefined && parent === undefined) {
      sampler.omittedParts++
      return undefined
    }
    if (!(parent === undefined ? sampler.admitsUnit(undefined) : sampler.admitsPart())) return undefined
    return this.#add(kind, name, { ...change, parent: parent?.row.id, traceId: parent?.row.traceId })
  }

  #add(kind: RowKind, name: string, { unit, ...change }: Partial<Row> & { unit?: Unit }): Draft {
    const id = `${this.process}.${++this.#lastId}`
    const { service } = this.#options
    const row: Row = { id, service, kind, name, state: 'running', openedAt: Date.now(), ...change }
    const draft: Draft = { row, unit, published: false }
    this.#markChanged(draft)
    return draft
  }

  #change(key: object, change: Partial<Row>): void {
    const draft = this.#drafts.get(key)
    if (draft === undefined) return
    draft.row = { ...draft.row, ...change }
    this.#markChanged(draft)
  }

  #end(key: object, change: Partial<Row>): void {
    const draft = this.#drafts.get(key)
    if (draft === undefined) return
    this.#refresh(draft)
    draft.unit = undefined
    this.#change(key, { ...change, state: 'ended', endedAt: Date.now() })
  }

  #note(key: object | undefined, note: string): void {
    const draft = key && this.#drafts.get(key)
    if (key === undefined || draft === undefined) return
    const { notes = [] } = draft.row
    if (notes.length < maxNotes && !notes.includes(note)) this.#change(key, { notes: [...notes, cut(note)] })
  }

  #markChanged(draft: Draft): void {
    this.#changed.add(draft)
    // A timer keeps the contexts in which it is set.
    this.#cancelFlush ??= root.runInAsyncScope(() => after(flushMs, () => this.flush(), { ref: false }))
  }

  /** Reads what the unit has now: its name, its place in the trace, and the declared fields. */
  #refresh(draft: Draft | undefined): void {
    const unit = draft?.unit
    const cell = unit?.cell?.base
    if (draft === undefined || unit === undefined || cell === undefined || cell.sealed) return
    const { row } = draft
    const trace = peek(traceContext, cell)
    draft.row = {
      ...row,
      name: row.kind === 'job' ? row.name : cut(unit.name),
      traceId: trace?.traceId ?? row.traceId,
      spanId: trace?.spanId,
      parentSpanId: trace?.parentSpanId,
      linkSpanId: trace?.link?.spanId,
      requestId: peek(requestId, cell),
      fields: this.#fieldsOf(cell, row.fields),
      ...(unit instanceof Task && !unit.began && waitingState(unit)),
    }
  }

  #fieldsOf(cell: Cell, before: Row['fields']): Row['fields'] {
    const fields: Record<string, FieldValues> = Object.create(null) as Record<string, FieldValues>
    for (const [name, [start]] of Object.entries(before ?? {})) fields[name] = [start, null]
    this.#options.fields.read(cell, (name, value) => {
      const now = cut(textOf(value))
      fields[name] = [before === undefined ? now : (fields[name]?.[0] ?? null), now]
    })
    return fields
  }
}

/** Of a task that has not begun. One for after the response waits for no slot. */
function waitingState({ slot }: Task): Partial<Row> {
  const isForResponse = slot === undefined || slot.state === 'after response'
  return { state: 'waiting', reason: isForResponse ? 'waits for the end of the response' : undefined }
}

/** A handler of errors can reply to a failure with a status that is not a failure. */
function scopeOutcome({ status, failure }: RequestScope): RowOutcome {
  return status === undefined && failure !== undefined ? 'failed' : statusOutcome(status)
}

function statusOutcome(status = 200): RowOutcome {
  return status >= 500 ? 'failed' : 'done'
}
