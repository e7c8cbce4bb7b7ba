import { channel } from 'node:diagnostics_channel'

/** The stable identity of every error this package throws; `docs/errors.md` lists them all. */
export type ErrorCode =
  | 'LCTX_OUTSIDE_UNIT'
  | 'LCTX_LATE_WRITE'
  | 'LCTX_GROUP_CLOSED'
  | 'LCTX_GROUP_FULL'
  | 'LCTX_SCOPE_CLOSED'
  | 'LCTX_ABANDONED'
  | 'LCTX_CANCELLED'
  | 'LCTX_CLIENT_GONE'
  | 'LCTX_TIMEOUT'
  | 'LCTX_DEADLINE'
  | 'LCTX_ENQUEUE_TIMEOUT'
  | 'LCTX_VERSION_MISMATCH'

/**
 * The base of every error of this package that is not a `TypeError`.
 * Tell errors apart by `code`: two copies of the package in one process break `instanceof`.
 */
export class LogicalContextError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }

  override get name(): string {
    return this.constructor.name
  }
}

/** On `logical-context:context:lost`, where the error is made. */
export interface LostEvent {
  /** What was called outside any unit. */
  readonly operation: string
  readonly error: OutsideUnitError
}

const contextLost = channel('logical-context:context:lost')

/** Something that needs a unit of work was called outside of any. */
export class OutsideUnitError extends LogicalContextError {
  constructor(operation: string) {
    super(
      'LCTX_OUTSIDE_UNIT',
      `${operation} was called outside any unit of work. ` +
        'Call it in a request the middleware has opened, or open a unit with runInScope(fn).',
    )
    // Every loss ends here, wherever it is noticed.
    if (contextLost.hasSubscribers) contextLost.publish({ operation, error: this } satisfies LostEvent)
  }
}

/** A variable was written after its unit had ended. */
export class LateWriteError extends LogicalContextError {
  constructor(variable: string, unit: string) {
    super(
      'LCTX_LATE_WRITE',
      `The variable '${variable}' was written after its unit '${unit}' had ended. ` +
        'Await the work that writes it, or hand that work to spawn().',
    )
  }
}

/** A task was spawned into a group that takes none any more. */
export class GroupClosedError extends LogicalContextError {
  constructor(task: string, group: string) {
    super(
      'LCTX_GROUP_CLOSED',
      `The task '${task}' was spawned into the group '${group}', which is closed. ` +
        'Spawn it before the group is drained for good, or into a group that outlives this one.',
    )
  }
}

/** A task was spawned into a group that has no place for it. Made for refusing many: it has no stack. */
export class GroupFullError extends LogicalContextError {
  constructor(task: string, group: string, limit: string) {
    const { stackTraceLimit } = Error
    Reflect.set(Error, 'stackTraceLimit', 0)
    super(
      'LCTX_GROUP_FULL',
      `The task '${task}' was refused by the group '${group}': ${limit}. ` +
        "Spawn less, raise the limit, or make spawners wait with whenFull: 'wait'.",
    )
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
  }
}

/** A scope was entered after it had been closed. */
export class ScopeClosedError extends LogicalContextError {
  constructor(scope: string) {
    super('LCTX_SCOPE_CLOSED', `The scope '${scope}' was entered after it had ended. Open a new scope for new work.`)
  }
}

/** The reason on a task's signal when its group's drain has reached its limit. */
export class AbandonedError extends LogicalContextError {
  constructor(group: string, timeoutMs: number) {
    super(
      'LCTX_ABANDONED',
      `The group '${group}' was drained and its limit of ${timeoutMs} ms is over. ` +
        'Stop at once; raise drainTimeoutMs if the work needs longer, or put it in a queue if it must not be lost.',
    )
  }
}

/** Work was cancelled by the group, race or owner that it belongs to; the reason on its signal, or its failure. */
export class CancelledError extends LogicalContextError {
  constructor(what: string, advice: string, options?: ErrorOptions) {
    super('LCTX_CANCELLED', `${what}. ${advice}`, options)
  }
}

/** The reason on a request's signal when its client has hung up before the reply was sent. */
export class ClientGoneError extends LogicalContextError {
  constructor(scope: string) {
    super(
      'LCTX_CLIENT_GONE',
      `The client of '${scope}' closed the connection before the reply was sent. Stop: nobody reads the result.`,
    )
  }
}

/** A call has taken longer than its limit. */
export class TimeoutError extends LogicalContextError {
  constructor(name: string, timeoutMs: number, cause?: unknown) {
    super(
      'LCTX_TIMEOUT',
      `'${name}' has not ended within ${timeoutMs} ms. Raise the limit, or find out what it waits for.`,
      cause === undefined ? undefined : { cause },
    )
  }
}

/** The reason on a request's signal when its deadline is over. */
export class DeadlineError extends LogicalContextError {
  constructor(scope: string) {
    super(
      'LCTX_DEADLINE',
      `The deadline of '${scope}' is over. Stop: whoever has set it does not wait for the result any more.`,
    )
  }
}

/** An engine did not accept a message in time. It may have accepted the message, or may accept it later. */
export class EnqueueTimeoutError extends LogicalContextError {
  constructor(queue: string, timeoutMs: number, cause?: unknown) {
    super(
      'LCTX_ENQUEUE_TIMEOUT',
      `The queue '${queue}' did not accept a message within ${timeoutMs} ms; it may accept the message later. ` +
        'Check the connection to the broker, and enqueue again with the same id or idempotency key.',
      cause === undefined ? undefined : { cause },
    )
  }
}

/** Two copies of the package with incompatible storage are loaded in one process. */
export class VersionMismatchError extends LogicalContextError {
  constructor(ours: number, theirs: unknown) {
    super(
      'LCTX_VERSION_MISMATCH',
      `This copy of logical-context uses storage layout ${ours}, another copy loaded before it uses ${String(theirs)}. ` +
        "Make both the same version: 'npm ls logical-context' shows who brings them.",
    )
  }
}
