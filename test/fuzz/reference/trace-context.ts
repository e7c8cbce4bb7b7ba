// W3C Trace Context level 2 by regular expressions, as one would write it who has no need to be fast or safe.

/** Section 3.2.2 and 3.2.4: a later version can only add text after a dash, and no second header. */
const traceparent =
  /^[ \t]*(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-[^,]*?)?[ \t]*$/s

export function referenceTraceparent(header: string): { traceId: string; spanId: string; flags: number } | undefined {
  const [, version, traceId, spanId, flags, tail] = traceparent.exec(header) ?? []
  if (traceId === undefined || spanId === undefined || (version === '00' && tail !== undefined)) return undefined
  return { traceId, spanId, flags: Number.parseInt(flags ?? '', 16) & 3 }
}

/** Section 3.3.2: a key of level 2, and a value that does not end with a blank. */
const member = /^([a-z\d][a-z\d_\-*/@]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])$/

/** The members of a list, the first of each key; undefined for a malformed list or more than 32 members. */
export function referenceTracestate(header: string): [key: string, value: string][] | undefined {
  const members: [key: string, value: string][] = []
  const texts = header
    .split(',')
    .map((part) => part.replace(/^[ \t]+|[ \t]+$/g, ''))
    .filter((text) => text !== '')
  if (texts.length > 32) return undefined
  for (const text of texts) {
    const [, key, value] = member.exec(text) ?? []
    if (key === undefined || value === undefined) return undefined
    if (!members.some(([known]) => known === key)) members.push([key, value])
  }
  return members
}
