import { type Cell, currentCell } from '../context/cell.ts'
import { type AnyContextVar, ContextVar } from '../context/context-var.ts'
import { decode, isPresent } from '../context/values.ts'
import { anyOf, type Checks, checkOptions, isFunction, show } from '../options.ts'
import { Task } from '../tasks/task.ts'
import { requestId } from '../variables/request-id.ts'
import { activeTrace, type TraceContext, traceContext } from '../variables/trace-context.ts'

/** A variable whose value is logged as it is, or one with the form in which it is logged. */
export type LogField =
  | AnyContextVar
  | {
      readonly variable: AnyContextVar
      /** Called when the fields of a unit are written, not once a line; undefined leaves the field out. */
      readonly format: (value: never) => unknown
    }

export interface LogFieldsOptions {
  /** Variables by the key under which they are logged, beside the ids of request, trace, span and task. */
  fields?: Readonly<Record<string, LogField>>
}

/** Reads one field of a line in a unit, of which several fields need the trace or the task; undefined where there is none. */
type Reader = (cell: Cell, trace: TraceContext | undefined, task: Task | undefined) => unknown

const knownFields: readonly (readonly [string, Reader])[] = [
  ['request_id', (cell) => valueIn(cell, requestId)],
  ['trace_id', (_cell, trace) => trace?.traceId],
  ['span_id', (_cell, trace) => trace?.spanId],
  ['trace_flags', (_cell, trace) => trace?.flags.toString(16).padStart(2, '0')],
  ['task_name', (_cell, _trace, task) => task?.name],
  ['task_id', (_cell, _trace, task) => task?.id],
]

/** Keys that the logger writes itself. */
const reserved = ['level', 'time', 'msg']

export const logFieldsChecks: Checks = {
  fields: anyOf('an object of variables', (value) => typeof value === 'object' && value !== null),
}

/** What the lines of a unit carry: the known fields, and the declared ones after them. */
export class LogFields {
  readonly keys: ReadonlySet<string>
  readonly #fields: readonly { key: string; prefix: string; reader: Reader }[]
  /** Matches a text of bindings that has one of the keys, or seems to. */
  readonly #anyPrefix: RegExp

  /** @throws {TypeError} for a field that is no variable, is sensitive, or has a key that is taken. */
  constructor(owner: string, options: LogFieldsOptions) {
    checkOptions(owner, options, logFieldsChecks)
    const declared = Object.entries(options.fields ?? {}).map(
      ([key, field]) => [key, readerOf(`${owner}: field '${key}'`, key, field)] as const,
    )
    this.#fields = [...knownFields, ...declared].map(([key, reader]) => {
      return { key, prefix: `,${JSON.stringify(key)}:`, reader }
    })
    this.keys = new Set(this.#fields.map(({ key }) => key))
    this.#anyPrefix = new RegExp(this.#fields.map(({ prefix }) => escaped(prefix)).join('|'))
  }

  /** Whether a logger's bindings, as text, may hold one of the keys already. */
  mayBeIn(bindings: string): boolean {
    return this.#anyPrefix.test(bindings)
  }

  /**
   * Gives the fields that have a value in a cell, and what stands before the value in a line. Never throws: a field
   * whose format or writing fails is left out.
   */
  read(cell: Cell, take: (key: string, value: unknown, prefix: string) => void): void {
    const trace = traceIn(cell)
    const { unit } = cell
    const task = unit instanceof Task ? unit : undefined
    for (const { key, prefix, reader } of this.#fields) {
      try {
        const value = reader(cell, trace, task)
        if (value !== undefined) take(key, value, prefix)
      } catch {
        // A log call does not fail for the sake of its context.
      }
    }
  }
}

function readerOf(owner: string, key: string, field: LogField): Reader {
  if (reserved.includes(key) || knownFields.some(([known]) => known === key)) {
    throw new TypeError(`${owner}: expected a key that is not taken already, got '${key}'.`)
  }
  const { variable, format } = isFormatted(field) ? field : { variable: field, format: undefined }
  if (!(variable instanceof ContextVar) || (format !== undefined && !isFunction(format))) {
    throw new TypeError(`${owner}: expected a ContextVar or { variable, format }, got ${show(field)}.`)
  }
  if (variable.sensitive) {
    throw new TypeError(`${owner}: expected a variable that may be shown, got the sensitive '${variable.name}'.`)
  }
  if (format === undefined) return (cell) => valueIn(cell, variable)
  return (cell) => {
    const value = valueIn(cell, variable)
    return value === undefined ? undefined : format(value as never)
  }
}

function escaped(text: string): string {
  return text.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&')
}

function isFormatted(field: LogField): field is Exclude<LogField, AnyContextVar> {
  return typeof field === 'object' && field !== null && 'variable' in field
}

function valueIn<T, D>(cell: Cell, variable: ContextVar<T, D>): T | D {
  const raw = cell.read(variable.index)
  return isPresent(raw) ? (decode(raw) as T) : variable.default
}

/** In the current code's own cell that of the active span, which is not there for whoever logs from outside. */
function traceIn(cell: Cell): TraceContext | undefined {
  const known = valueIn(cell, traceContext)
  return cell === currentCell() ? activeTrace(known) : known
}
