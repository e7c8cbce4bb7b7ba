/** gRPC's codes that a server answers for; the others are its caller's doing. Semantic conventions for gRPC, "Status" */
const faults = new Set<unknown>([
  'UNKNOWN',
  'DEADLINE_EXCEEDED',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
])

/**
 * The `error.type` of a request that its server has failed; false for one that was answered well, or that the caller has
 * done wrong; undefined where there was no answer. Semantic conventions for HTTP spans, "Status", and for gRPC
 */
export function serverFault(
  attributes: Readonly<Record<string, string | number | undefined>>,
): string | false | undefined {
  const status = attributes['http.response.status_code'] ?? attributes['rpc.response.status_code']
  if (status === undefined) return undefined
  return (typeof status === 'number' ? status >= 500 : faults.has(status)) && String(status)
}
