/** What a row is: a request, an attempt of a job, another unit, a task, an outbound call, or the enqueue of a job. */
export type RowKind = 'request' | 'job' | 'unit' | 'task' | 'call' | 'enqueue'

/** `closing`: the response has closed, and a handler or a hook still runs. */
export type RowState = 'waiting' | 'running' | 'closing' | 'ended'

/** `lost`: the connection to its service ended before the row did. */
export type RowOutcome = 'done' | 'failed' | 'cancelled' | 'withdrawn' | 'refused' | 'lost'

/** The values of a declared field, as text: when the unit began, and now or at its end. Null if it is not set. */
export type FieldValues = readonly [start: string | null, now: string | null]

/** The whole state of a unit or a call at one time, as the page receives it. A later one replaces an earlier one. */
export interface Row {
  /** Unique in all services: the id of the process, and a number. */
  readonly id: string
  readonly service: string
  readonly kind: RowKind
  readonly name: string
  readonly state: RowState
  /** The row whose code began it, in the same process. */
  readonly parent?: string | undefined
  readonly traceId?: string | undefined
  readonly spanId?: string | undefined
  readonly parentSpanId?: string | undefined
  /** The span that an isolated unit is linked to. */
  readonly linkSpanId?: string | undefined
  readonly requestId?: string | undefined
  /** In one word, with the variables that it lists. Undefined for a request and for a call. */
  readonly policy?: string | undefined
  /** The task group. */
  readonly group?: string | undefined
  /** The attempt of a job. */
  readonly attempt?: number | undefined
  /** The HTTP status. */
  readonly status?: number | undefined
  readonly outcome?: RowOutcome | undefined
  /** Why it failed or was cancelled. */
  readonly reason?: string | undefined
  /** Late use of variables, and an abort at the limit of a drain. */
  readonly notes?: readonly string[] | undefined
  readonly fields?: Readonly<Record<string, FieldValues>> | undefined
  /** When it was spawned, received or begun, in milliseconds since the epoch. */
  readonly openedAt: number
  /** When a task began that had to wait. */
  readonly startedAt?: number | undefined
  readonly endedAt?: number | undefined
}

/** The state of one service, at the time at which it is sent. */
export interface ServiceStatus {
  readonly service: string
  /** Of a service that the option `services` lists. */
  readonly url?: string | undefined
  readonly state: 'live' | 'connecting' | 'refused' | 'unreachable'
  /** What was not recorded, or not kept, since the start. */
  readonly omitted: OmittedCounters
  readonly groups: readonly GroupStatus[]
  readonly findings: readonly FindingStatus[]
  /** Whether the doctor is on in the service. */
  readonly doctor: boolean
  readonly drains: readonly DrainStatus[]
}

export interface OmittedCounters {
  /** Units that were not recorded because there were too many. */
  readonly units: number
  /** Tasks, calls and enqueues of units that were not recorded, and those beyond the limit. */
  readonly parts: number
  /** Tasks among them that failed. */
  readonly failures: number
  /** Rows that newer ones replaced. */
  readonly replaced: number
}

export interface GroupStatus {
  readonly name: string
  readonly running: number
  readonly queued: number
  readonly waiting: number
  readonly failed: number
  readonly refused: number
}

/** A call site of the doctor; without the doctor, an operation and a variable without a call site. */
export interface FindingStatus {
  readonly kind: string
  readonly what: string
  readonly count: number
  readonly callSite?: string | undefined
  readonly library?: string | undefined
  readonly advice?: string | undefined
  readonly page?: string | undefined
}

export interface DrainStatus {
  readonly group: string
  readonly timeoutMs: number
  readonly startedAt: number
  /** The units and the tasks of the process that have not ended. */
  readonly unitsLeft: number
  readonly tasksLeft: number
  readonly endedAt?: number | undefined
  readonly reachedLimit?: boolean | undefined
}
