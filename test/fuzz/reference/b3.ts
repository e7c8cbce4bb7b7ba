// B3 and Jaeger by regular expressions, as one would write them who has no need to be fast or safe.

export interface ReferenceCaller {
  traceId: string
  spanId: string
  sampling: string
}

const single = /^(?!0+-)([\da-f]{16}|[\da-f]{32})-(?!0{16})([\da-f]{16})(?:-([01d]))?(?:-[\da-f]{16})?$/
const states: Record<string, string> = { 0: 'deny', 1: 'accept', d: 'debug' }

/** openzipkin/b3-propagation, "Single Header" */
export function referenceB3(header: string): ReferenceCaller | string | undefined {
  const text = trim(header)
  if (/^[01d]$/.test(text)) return states[text]
  const [, trace, spanId, state] = single.exec(text) ?? []
  if (trace === undefined || spanId === undefined) return undefined
  return {
    traceId: trace.padStart(32, '0'),
    spanId,
    sampling: state === undefined ? 'defer' : (states[state] as string),
  }
}

const jaeger = /^(?!0+:)([\da-f]{1,32}):(?!0+:)([\da-f]{1,16}):[\da-f]{1,16}:([\da-f]{1,2})$/i

/** Jaeger, "Propagation format": colons may be encoded, ids may come short. */
export function referenceJaeger(header: string): ReferenceCaller | undefined {
  const [, trace, span, flagText] = jaeger.exec(trim(header).replace(/%3a/gi, ':')) ?? []
  if (trace === undefined || span === undefined) return undefined
  const flags = Number.parseInt(flagText ?? '', 16)
  const sampling = flags & 2 ? 'debug' : flags & 1 ? 'accept' : 'deny'
  return { traceId: trace.toLowerCase().padStart(32, '0'), spanId: span.toLowerCase().padStart(16, '0'), sampling }
}

function trim(text: string): string {
  return text.replace(/^[ \t]+|[ \t]+$/g, '')
}
