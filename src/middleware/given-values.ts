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

/** Keeps values for requests. Returns the header that names them. */
export function keepValues(values: LogicalContext): Record<string, string> {
  const token = newUuid()
  given.set(token, values)
  return { [header]: token }
}

export function dropGivenValues(headers: Record<string, string>): void {
  given.delete(headers[header] ?? '')
}

/** A context with the values that a test keeps for the request with these headers. */
export function withGivenValues(
  context: LogicalContext,
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): LogicalContext {
  if (given.size === 0) return context
  const values = given.get(String(headers[header]))
  return values === undefined ? context : new LogicalContext(overlay(context.toValues(), values.toValues()))
}
