import { containedValue } from '../callbacks.ts'
import { type Cell, cellKey, currentCell } from '../context/cell.ts'
import { type AnyContextVar, ContextVar, peek } from '../context/context-var.ts'
import { anyOf, type Check, type Checks, checkOptions, isFunction, isRecord, show } from '../options.ts'
import { Task } from '../tasks/task.ts'
import type { Unit } from '../tasks/unit.ts'
import { message } from '../variables/message.ts'
import { requestId } from '../variables/request-id.ts'
import { activeTrace, type TraceContext, traceContext } from '../variables/trace-context.ts'

/** A variable whose value is logged unchanged, or a variable with a function that formats its value. */
export type LogField =
  | AnyContextVar
  | {
      readonly variable: AnyContextVar
      /** Called when the fields of a unit are written. If it returns undefined, the field is omitted. */
      readonly format: (value: never) => unknown
    }

/** A field that the library writes by itself. */
export type KnownField =
  | 'request_id'
  | 'trace_id'
  | 'span_id'
  | 'trace_flags'
  | 'task_name'
  | 'task_id'
  | 'job_queue'
  | 'job_id'
  | 'job_attempt'

/** Options of `contextLogger`. */
export interface LogFieldsOptions {
  /** Variables to log, by key, in addition to the ids of request, trace, span, task and job. Default: none. */
  fields?: Readonly<Record<string, LogField>>
  /** Other keys for the known fields: `{ trace_id: 'dd.trace_id' }`; `false` omits a field. Default: their names. */
  keys?: Readonly<Partial<Record<KnownField, string | false>>>
}

/** Reads one field of a line in a unit; returns undefined if it has no value. */
type Reader = (cell: Cell, trace: TraceContext | undefined, task: Task | undefined) => unknown

const knownFields: Readonly<Record<KnownField, Reader>> = {
  request_id: (cell) => peek(requestId, cell),
  trace_id: (_cell, trace) => trace?.traceId,
  span_id: (_cell, trace) => trace?.spanId,
  trace_flags: (_cell, trace) => trace?.flags.toString(16).padStart(2, '0'),
  task_name: (_cell, _trace, task) => task?.name,
  task_id: (_cell, _trace, task) => task?.id,
  job_queue: (cell) => peek(message, cell)?.queue,
  job_id: (cell) => peek(message, cell)?.id,
  job_attempt: (cell) => peek(message, cell)?.attempt,
}

/** Keys that the logger itself writes. */
const reserved = ['level', 'time', 'msg']

export const aFieldList: Check = anyOf(
  'an object of variables by key',
  (value) => isRecord(value) && !(value instanceof ContextVar),
)

export const logFieldsChecks: Checks = {
  fields: aFieldList,
  keys: anyOf(
    `an object that has a key or false for some of ${Object.keys(knownFields).join(', ')}`,
    (value) =>
      isRecord(value) && Object.entries(value).every(([field, key]) => Object.hasOwn(knownFields, field) && isKey(key)),
  ),
}

/** The fields of a unit's log lines: the known ones, then the declared ones. */
export class LogFields {
  readonly keys: ReadonlySet<string>
  readonly #fields: readonly { readonly key: string; readonly prefix: string; readonly reader: Reader }[]
  readonly #anyPrefix: RegExp

  /** @throws {TypeError} if a field is not a variable, if it is sensitive, or if its key is taken. */
  constructor(owner: string, options: LogFieldsOptions | undefined) {
    const { fields: declared = {}, keys: renamed = {} } = checkOptions(owner, options, logFieldsChecks)
    const readers = new Map<string, Reader>()
    const add = (field: string, key: string, reader: Reader) => {
      if (reserved.includes(key) || readers.has(key)) {
        throw new TypeError(`${owner}: field '${field}': expected a key that is not taken, got '${key}'.`)
      }
      readers.set(key, reader)
    }
    for (const [field, reader] of Object.entries(knownFields)) {
      const key = (Object.hasOwn(renamed, field) ? renamed[field as KnownField] : undefined) ?? field
      if (key !== false) add(field, key, reader)
    }
    for (const [key, field] of Object.entries(declared)) add(key, key, readerOf(`${owner}: field '${key}'`, field))
    this.keys = new Set(readers.keys())
    this.#fields = Array.from(readers, ([key, reader]) => ({ key, prefix: `,${JSON.stringify(key)}:`, reader }))
    this.#anyPrefix = new RegExp(this.#fields.map(({ prefix }) => escape(prefix)).join('|') || '$^')
  }

  /** Whether a logger's bindings may have one of the keys: one search, because most bindings have none. */
  mayBeIn(bindings: string): boolean {
    return this.#anyPrefix.test(bindings)
  }

  /**
   * Calls `take` for each field that has a value in a cell, with the text that is before the value in a line. Never
   * throws: it omits a field whose `format`, or whose `take`, throws.
   */
  read(cell: Cell, take: (key: string, value: unknown, prefix: string) => void): void {
    const known = peek(traceContext, cell)
    // A tracer's active span belongs to the current code, not to another unit.
    const trace = cell === currentCell() ? activeTrace(known) : known
    const { unit } = cell
    const task = unit instanceof Task ? unit : undefined
    for (const { key, prefix, reader } of this.#fields) {
      try {
        const value = reader(cell, trace, task)
        if (value !== undefined) take(key, value, prefix)
      } catch {
        // A log call must not fail because of its context.
      }
    }
  }
}

/**
 * The cell whose fields a line of `logger` has. A request's own logger has the fields of that request, also if the code
 * runs in another request; in a task or a block of that request it has those of the task or the block.
 */
export function cellFor(logger: { readonly [cellKey]?: Cell } | undefined): Cell | undefined {
  const current = currentCell()
  const own = logger?.[cellKey]
  if (own === undefined || current === undefined || current === own) return current ?? own
  const [unit, request] = [current.unit, own.unit] as (Unit | undefined)[]
  return unit === request || (unit !== undefined && unit.origin === request?.origin) ? current : own
}

/** A pattern that matches a text. */
function escape(text: string): string {
  return text.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&')
}

function isKey(value: unknown): boolean {
  return value === undefined || value === false || (typeof value === 'string' && value !== '')
}

function readerOf(owner: string, field: LogField): Reader {
  const { variable, format } = isFormatted(field) ? field : { variable: field, format: undefined }
  if (!(variable instanceof ContextVar) || (format !== undefined && !isFunction(format))) {
    throw new TypeError(`${owner}: expected a ContextVar or { variable, format }, got ${show(field)}.`)
  }
  if (variable.sensitive) {
    throw new TypeError(`${owner}: expected a variable that may be logged, got the sensitive '${variable.name}'.`)
  }
  const isTrace = (variable as unknown) === traceContext
  const valueOf: Reader = (cell, trace) => (isTrace ? trace : peek(variable, cell))
  if (format === undefined) return valueOf
  return (cell, trace, task) => {
    const value = valueOf(cell, trace, task)
    return value === undefined ? undefined : containedValue(`${owner}, format`, format, value as never)
  }
}

function isFormatted(field: LogField): field is Exclude<LogField, AnyContextVar> {
  return typeof field === 'object' && field !== null && !(field instanceof ContextVar) && 'variable' in field
}
