import { channel } from 'node:diagnostics_channel'

/** The stable codes of all errors of this package. `docs/errors.md` has a section for each. */
export type ErrorCode =
  | 'LCTX_OUTSIDE_UNIT'
  | 'LCTX_NOT_SET'
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
  | 'LCTX_PACKAGE_MISSING'
  | 'LCTX_VERSION_MISMATCH'

/**
 * The base class of every error of this package that is not a `TypeError`. Compare the `code`: `instanceof` is false if
 * two copies of the package are loaded.
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

/** On `logical-context:context:lost`, in the context of the code that caused the error. */
export interface LostEvent {
  /** The function that was called outside any unit. */
  readonly operation: string
  readonly error: OutsideUnitError
}

const contextLost = channel('logical-context:context:lost')

/** A function that needs a unit of work was called outside any unit. */
export class OutsideUnitError extends LogicalContextError {
  constructor(operation: string) {
    super(
      'LCTX_OUTSIDE_UNIT',
      `${operation} was called outside any unit of work. ` +
        'Likely causes: the plugin is not registered, or only inside another plugin; a hook was registered before it; ' +
        'a callback lost its unit. ' +
        'Register the plugin first, wrap the callback with bind(fn), or open a unit with runInScope(fn).',
    )
    // Every loss of the context ends here.
    if (contextLost.hasSubscribers) contextLost.publish({ operation, error: this } satisfies LostEvent)
  }
}

/** A variable without a default was read with `getOrThrow()`, and no value is set. */
export class NotSetError extends LogicalContextError {
  constructor(variable: string, isLate: boolean) {
    super(
      'LCTX_NOT_SET',
      isLate
        ? `The variable '${variable}' was read after the end of its unit, which drops the values. ` +
            'Await the work that reads it, or pass that work to spawn(fn).'
        : `The variable '${variable}' is not set in the current unit of work. ` +
            'Set it before this code runs, give it a default, or read it with get().',
    )
  }
}

/** A variable was written after the end of its unit. */
export class LateWriteError extends LogicalContextError {
  constructor(variable: string, unit: string) {
    super(
      'LCTX_LATE_WRITE',
      `The variable '${variable}' was written after the end of its unit '${unit}'. ` +
        'Await the work that writes it, or pass that work to spawn(fn).',
    )
  }
}

/** A task was spawned into a closed group. */
export class GroupClosedError extends LogicalContextError {
  constructor(task: string, group: string) {
    super(
      'LCTX_GROUP_CLOSED',
      `The task '${task}' was spawned into the group '${group}', which is closed. ` +
        'Spawn it before the group closes, or into a group that stays open longer.',
    )
  }
}

/** A task was spawned into a group without a free slot. It has no stack, so that many refusals cost little. */
export class GroupFullError extends LogicalContextError {
  constructor(task: string, group: string, limit: string) {
    const { stackTraceLimit } = Error
    try {
      Reflect.set(Error, 'stackTraceLimit', 0)
      super(
        'LCTX_GROUP_FULL',
        `The group '${group}' refused the task '${task}': ${limit}. ` +
          "Spawn fewer tasks, raise the limit, or make spawners wait with whenFull: 'wait'.",
      )
    } finally {
      Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
    }
  }
}

/** A scope was entered after its end. */
export class ScopeClosedError extends LogicalContextError {
  constructor(scope: string) {
    super('LCTX_SCOPE_CLOSED', `The scope '${scope}' was entered after its end. Open a new scope for new work.`)
  }
}

/** The reason of a task's or a request's signal when the drain reaches its limit. */
export class AbandonedError extends LogicalContextError {
  constructor(group: string, timeoutMs: number) {
    super(
      'LCTX_ABANDONED',
      `The drain of the group '${group}' reached its limit of ${timeoutMs} ms. ` +
        'Stop at once; raise the limit if the work needs longer, or put the work in a queue if it must not be lost.',
    )
  }
}

/** The group, race or owner of the work cancelled it: the reason of its signal, or its failure. */
export class CancelledError extends LogicalContextError {
  constructor(what: string, advice: string, options?: ErrorOptions) {
    super('LCTX_CANCELLED', `${what}. ${advice}`, options)
  }
}

/** The reason of a request's signal when the client disconnects before the reply is sent. */
export class ClientGoneError extends LogicalContextError {
  constructor(scope: string) {
    super(
      'LCTX_CLIENT_GONE',
      `The client of '${scope}' closed the connection before the reply was sent. Stop: no client reads the result.`,
    )
  }
}

/** A call took longer than its limit. */
export class TimeoutError extends LogicalContextError {
  constructor(name: string, timeoutMs: number, cause?: unknown) {
    super(
      'LCTX_TIMEOUT',
      `'${name}' did not end within ${timeoutMs} ms. Raise the limit, or find out what it waits for.`,
      cause === undefined ? undefined : { cause },
    )
  }
}

/** The reason of a request's signal when its deadline is over. */
export class DeadlineError extends LogicalContextError {
  constructor(scope: string) {
    super('LCTX_DEADLINE', `The deadline of '${scope}' is over. Stop: the caller no longer waits for the result.`)
  }
}

/** An engine did not confirm a message in time. It may have accepted the message, or may accept it later. */
export class EnqueueTimeoutError extends LogicalContextError {
  /** @param timeoutMs Undefined if the connection ended first. */
  constructor(queue: string, timeoutMs: number | undefined, cause?: unknown) {
    const when = timeoutMs === undefined ? 'before its connection ended' : `within ${timeoutMs} ms`
    super(
      'LCTX_ENQUEUE_TIMEOUT',
      `The queue '${queue}' did not confirm a message ${when}; it may accept the message later. ` +
        'Check the connection to the broker, and enqueue again with the same id or idempotency key.',
      cause === undefined ? undefined : { cause },
    )
  }
}

/** A function needs a package that is not installed. */
export class PackageMissingError extends LogicalContextError {
  constructor(owner: string, name: string, cause: unknown) {
    super(
      'LCTX_PACKAGE_MISSING',
      `${owner} needs the package '${name}', which is not installed. Install it: npm install ${name}`,
      { cause },
    )
  }
}

/**
 * Loads an optional package.
 *
 * @param owner The function that the user called.
 * @throws {PackageMissingError} if it is not installed; else what its import throws.
 */
export async function loadPackage<Module>(owner: string, name: string, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load()
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown }
    // Not a package that this one needs itself. The code is that of Node, or that of jest.
    const isMissing = /^(?:ERR_)?MODULE_NOT_FOUND$/.test(String(code)) && String(message).includes(`'${name}'`)
    throw isMissing ? new PackageMissingError(owner, name, error) : error
  }
}

/** Two copies of the package with incompatible storage are loaded in one process. */
export class VersionMismatchError extends LogicalContextError {
  constructor(ours: number, theirs: unknown) {
    super(
      'LCTX_VERSION_MISMATCH',
      `This copy of logical-context uses storage layout ${ours}, another copy loaded before it uses ${String(theirs)}. ` +
        "Install one version: 'npm ls logical-context' shows which packages depend on which version.",
    )
  }
}
