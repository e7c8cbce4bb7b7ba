/** How far a chain of causes is followed; it may be a circle. */
const maxCauses = 16

/**
 * Whether an error only says that its work was cancelled: the reason itself, an error with the reason at the end of its
 * chain of causes, or an error that a client throws for an aborted signal. The caller checks that the work was cancelled:
 * the same errors are failures if nothing was.
 */
export function isCancellationError(error: unknown, reason: unknown): boolean {
  try {
    return isCancellation(error, reason, 0)
  } catch {
    // A getter of the error failed.
    return false
  }
}

function isCancellation(error: unknown, reason: unknown, depth: number): boolean {
  let at = error
  for (let causes = depth; causes < maxCauses; causes++) {
    if (at === reason) return true
    if (typeof at !== 'object' || at === null) return false
    if (isFromClient(at) || hasMessageOf(reason, at)) return true
    const several = errorsIn(at)
    if (several !== undefined) return several.every((each) => isCancellation(each, reason, causes + 1))
    at = (at as { cause?: unknown }).cause
  }
  return false
}

/** Some clients keep only the message of the reason, for example that of Elasticsearch. */
function hasMessageOf(reason: unknown, error: { message?: unknown }): boolean {
  const { message } = Object(reason) as { message?: unknown }
  return typeof message === 'string' && message !== '' && error.message === message
}

/** Those of `Promise.any`; or those of a `SuppressedError`: the error of a disposer, and the one that it suppresses. */
function errorsIn(error: object): unknown[] | undefined {
  const parts = error as { errors?: unknown; name?: unknown; error?: unknown; suppressed?: unknown }
  if (Array.isArray(parts.errors) && parts.errors.length > 0) return parts.errors
  return parts.name === 'SuppressedError' ? [parts.error, parts.suppressed] : undefined
}

/** The names of errors or of their classes, and the codes, that clients have for an aborted signal. */
const names = new Set<unknown>([
  // `fetch`, undici, Node, got, ky, the AWS SDK
  'AbortError',
  // axios
  'CanceledError',
  // Bluebird; p-cancelable; cockatiel; Elasticsearch; OpenAI and Anthropic
  'CancellationError',
  'CancelError',
  'TaskCancelledError',
  'RequestAbortedError',
  'APIUserAbortError',
])
const codes = new Set<unknown>([
  'ABORT_ERR',
  'ERR_ABORTED',
  'ERR_CANCELED',
  // A stream that was destroyed
  'ERR_STREAM_PREMATURE_CLOSE',
  // superagent
  'ABORTED',
  // A cancelled query. PostgreSQL, "PostgreSQL Error Codes", query_canceled; MySQL; SQL Server with tedious
  '57014',
  'ER_QUERY_INTERRUPTED',
  'ECANCEL',
])
/** The status CANCELLED. gRPC, "Status codes and their use in gRPC" */
const grpcCancelled = 1

function isFromClient(error: object): boolean {
  const { name, code, message, metadata, constructor } = error as ClientError
  // The body of a response of `node:http`; the AWS SDK adds to the message. A peer's reset has another message.
  if (code === 'ECONNRESET' && String(message).startsWith('aborted')) return true
  if (names.has(name) || codes.has(code) || names.has(constructor?.name)) return true
  // A child process that failed may have the code 1 too.
  return code === grpcCancelled && typeof metadata === 'object' && metadata !== null
}

interface ClientError {
  readonly name?: unknown
  readonly code?: unknown
  readonly message?: unknown
  readonly metadata?: unknown
  /** Undefined for an object without a prototype. */
  readonly constructor?: { readonly name?: unknown }
}
