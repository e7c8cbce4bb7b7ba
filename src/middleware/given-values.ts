import { LogicalContext } from '../context/logical-context.ts'
import { processSingleton } from '../context/storage.ts'
import { overlay } from '../context/values.ts'
import { newUuid } from '../variables/ids.ts'

/**
 * How a test sends values with a request: they stay in this process under a token, and the header has the token. Without
 * a test the map is empty, and no header is read.
 */
const header = 'x-logical-context-values'
const given: Map<string, LogicalContext> = processSingleton('givenValues', () => new Map())
/** The tokens that a unit has read. */
const taken: Set<string> = processSingleton('takenValues', () => new Set())

/** Keeps values for requests. Returns the header that names them. */
export function keepValues(values: LogicalContext): Record<string, string> {
  const token = newUuid()
  given.set(token, values)
  return { [header]: token }
}

/** Returns whether a unit started with the values. */
export function dropGivenValues(headers: Record<string, string>): boolean {
  const token = headers[header] ?? ''
  given.delete(token)
  return taken.delete(token)
}

/** A context with the values that a test keeps for the request with these headers. */
export function withGivenValues(
  context: LogicalContext,
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): LogicalContext {
  if (given.size === 0) return context
  const token = String(headers[header])
  const values = given.get(token)
  if (values === undefined) return context
  taken.add(token)
  return new LogicalContext(overlay(context.toValues(), values.toValues()))
}
