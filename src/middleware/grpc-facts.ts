import type { RequestScope } from '../tasks/request-scope.ts'

/** By number. gRPC, "Status codes and their use in gRPC" */
const statuses =
  'OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED'.split(
    ' ',
  )
export const cancelled: number = statuses.indexOf('CANCELLED')
export const deadlineExceeded: number = statuses.indexOf('DEADLINE_EXCEEDED')

/** Tells a tracer's bridge what the scope is open for, and how it ended, by the names of OpenTelemetry's RPC conventions. */
export function setCallAttributes(scope: RequestScope, path: string, status: number | undefined): void {
  if (scope.observation === undefined) return
  const code = status === undefined ? undefined : (statuses[status] ?? String(status))
  // The full name of the method, `package.Service/Method`; the path of HTTP/2 has a slash before it.
  const attributes = { 'rpc.system.name': 'grpc', 'rpc.method': path.slice(1), 'rpc.response.status_code': code }
  scope.observation?.setAttributes?.(attributes)
}
