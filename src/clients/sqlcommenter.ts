import { containedValue } from '../callbacks.ts'
import { isTracing } from '../context/bridge.ts'
import { type AnyContextVar, ContextVar } from '../context/context-var.ts'
import { current } from '../context/current.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { captureSnapshot } from '../context/storage.ts'
import { aBoolean, anyOf, type Checks, checkArgument, checkOptions, isFunction, isRecord, show } from '../options.ts'
import { formatTraceparent } from '../propagators/w3c-trace-context.ts'
import { traceOf } from '../variables/trace-context.ts'

/** A variable whose value is a text, a number or a boolean, or a variable with a function that formats its value. */
export type SqlCommentField =
  | AnyContextVar
  | {
      readonly variable: AnyContextVar
      /** Called for each query. If it returns undefined, the field is omitted. */
      readonly format: (value: never) => string | undefined
    }

/** Options of `sqlCommenter`. */
export interface SqlCommenterOptions {
  /** Variables to write, by the key in the comment. The keys of the trace can be used only without it. Default: none. */
  fields?: Readonly<Record<string, SqlCommentField>>
  /** Whether `traceparent` and `tracestate` are written. Default: true. */
  trace?: boolean
}

/** The part of a `Pool` or a `Client` of `pg` that sends queries. */
export interface PgLike {
  query: (...args: never[]) => unknown
}

/** Appends the context of the caller to SQL queries as a comment. */
export interface SqlCommenter {
  /**
   * A `Pool` or `Client` of `pg` that appends the comment of the caller to each query, also of the clients that it
   * connects. The given object is not changed. Queries with a `name` and query objects, such as cursors, stay unchanged:
   * the text of a prepared statement must not change.
   *
   * @throws {TypeError} if it has no method `query`.
   */
  wrap<Client extends PgLike>(client: Client): Client
  /** A statement with the comment of the current unit; unchanged if there is nothing to write, or if it has a comment. */
  append(sql: string): string
}

const traceKeys = ['traceparent', 'tracestate']
/** Longer values are omitted: a comment is a part of each log line of its query. */
const maxValueLength = 1024

const checks: Checks = {
  fields: anyOf('an object of variables', (value) => isRecord(value) && !(value instanceof ContextVar)),
  trace: aBoolean,
}
const aClient = anyOf('a Pool or a Client of pg', (value) => isFunction((value as Partial<PgLike> | undefined)?.query))

type QueryObject = Readonly<Record<string, unknown>>
/** What `pg` reads of a query besides its text. In template libraries these are getters of a class. */
const inheritedKeys = [
  'values',
  'types',
  'rowMode',
  'queryMode',
  'binary',
  'portal',
  'rows',
  'callback',
  'query_timeout',
]

interface Field {
  readonly key: string
  readonly variable: AnyContextVar
  readonly format: ((value: never) => unknown) | undefined
}

/**
 * Appends comments by the sqlcommenter specification to the queries of `pg`, so that a line of the database's log names
 * its request: `select 1 /*tenant='acme',traceparent='00-…'*\/`. All characters that could end a comment are encoded.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type, or a field is not a variable or is sensitive.
 * @see {@link https://google.github.io/sqlcommenter/spec/ sqlcommenter, "Specification"}
 */
export function sqlCommenter(options?: SqlCommenterOptions): SqlCommenter {
  const { fields: declared = {}, trace = true } = checkOptions('sqlCommenter', options, checks)
  const fields = Object.entries(declared).map(([key, field]) => fieldOf(key, field, trace))

  function append(sql: string): string {
    // The specification leaves a statement with a comment unchanged.
    if (sql.includes('/*') || sql.includes('--')) return sql
    const pairs = pairsOf(current(), fields, trace)
    if (pairs.length === 0) return sql
    const comment = `/*${pairs.toSorted().join(',')}*/`
    const body = sql.trimEnd()
    return body.endsWith(';') ? `${body.slice(0, -1)} ${comment};` : `${body} ${comment}`
  }

  function wrap<Client extends PgLike>(client: Client): Client {
    checkArgument('sqlCommenter, wrap', aClient, client)
    return new Proxy(client, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name, target)
        if (!isFunction(member) || (name !== 'query' && name !== 'connect')) return member
        const call = member as (...args: unknown[]) => unknown
        if (name === 'query')
          return (query: unknown, ...rest: unknown[]) => call.call(target, commented(query), ...rest)
        return (...args: unknown[]) => connect(call.bind(target), args)
      },
    })
  }

  function commented(query: unknown): unknown {
    if (typeof query === 'string') return append(query)
    const { text, name, submit, ...own } = (query ?? {}) as QueryObject
    if (typeof text !== 'string' || name !== undefined || submit !== undefined) return query
    const read = inheritedKeys.map((key) => [key, (query as QueryObject)[key]] as const)
    return { ...own, ...Object.fromEntries(read.filter(([, value]) => value !== undefined)), text: append(text) }
  }

  /** With a callback, or with a promise. A pool's method returns a client; a client's own method returns nothing. */
  function connect(call: (...args: unknown[]) => unknown, [callback]: unknown[]): unknown {
    if (isFunction(callback)) {
      // A pool calls it in the context of the code that released the client.
      const snapshot = captureSnapshot()
      return call((error: unknown, client: unknown, release: unknown) =>
        snapshot.runInAsyncScope(callback as (...args: unknown[]) => void, undefined, error, wrapped(client), release),
      )
    }
    return (call() as Promise<unknown>).then(wrapped)
  }

  function wrapped(client: unknown): unknown {
    return aClient.accepts(client) ? wrap(client as PgLike) : client
  }

  return { wrap, append }
}

function fieldOf(key: string, field: SqlCommentField, isTraced: boolean): Field {
  const owner = `sqlCommenter: field '${key}'`
  if (key === '' || (isTraced && traceKeys.includes(key))) {
    throw new TypeError(`${owner}: expected a key that is not empty and not one of the trace, got '${key}'.`)
  }
  const { variable, format }: Partial<Field> =
    field instanceof ContextVar ? { variable: field, format: undefined } : (field ?? {})
  if (!(variable instanceof ContextVar) || (format !== undefined && !isFunction(format))) {
    throw new TypeError(`${owner}: expected a ContextVar or { variable, format }, got ${show(field)}.`)
  }
  if (variable.sensitive) {
    throw new TypeError(`${owner}: expected a variable that may be logged, got the sensitive '${variable.name}'.`)
  }
  return { key, variable, format }
}

function pairsOf(context: LogicalContext, fields: readonly Field[], isTraced: boolean): string[] {
  const pairs: string[] = []
  const add = (key: string, value: string) => {
    if (value !== '' && value.length <= maxValueLength) pairs.push(`${encode(key)}='${encode(value)}'`)
  }
  const trace = isTraced && isTracing() ? traceOf(context) : undefined
  if (trace !== undefined) {
    add('traceparent', formatTraceparent(trace, trace.sampling === 'defer' ? 'accept' : trace.sampling))
    add('tracestate', trace.state.toString())
  }
  for (const { key, variable, format } of fields) {
    const value = context.has(variable) ? context.get(variable) : undefined
    if (value === undefined) continue
    const text =
      format === undefined ? value : containedValue(`sqlCommenter, format of '${key}'`, format, value as never)
    if (typeof text === 'string' || typeof text === 'number' || typeof text === 'boolean') add(key, String(text))
  }
  return pairs
}

/** Neither `/` nor `*` is left, and so no start and no end of a comment. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replaceAll('*', '%2A')
    .replaceAll("'", String.raw`\'`)
}
