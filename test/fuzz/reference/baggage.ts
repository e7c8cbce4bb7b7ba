// W3C Baggage by regular expressions, as one would write it who has no need to be fast or safe.

export interface ReferenceMember {
  key: string
  value: string
  properties: [key: string, value?: string][]
}

const key = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/
const value = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/

/** Section 3.3.1, within 8192 bytes and 64 members: empty and malformed members count, and are dropped. */
export function referenceBaggage(header: string): ReferenceMember[] {
  const members: ReferenceMember[] = []
  let end = -1
  let count = 0
  for (const part of header.split(',')) {
    end += part.length + 1
    if (++count > 64 || end > 8192) break
    const [first = '', ...others] = part.split(';').map(trim)
    const properties = others.map(pairOf)
    const [name, text] = pairOf(first)
    if (text === undefined || ![name, ...properties.map(([known]) => known)].every((known) => key.test(known))) continue
    if (![text, ...properties.map(([, known]) => known ?? '')].every((known) => value.test(known))) continue
    members.push({
      key: name,
      value: decode(text),
      properties: properties.map(([known, given]) => (given === undefined ? [known] : [known, decode(given)])),
    })
  }
  return members
}

function pairOf(text: string): [key: string, value?: string] {
  const equals = text.indexOf('=')
  return equals === -1 ? [text] : [trim(text.slice(0, equals)), trim(text.slice(equals + 1))]
}

function trim(text: string): string {
  return text.replace(/^[ \t]+|[ \t]+$/g, '')
}

/** Bytes that are not UTF-8 become U+FFFD. */
export function decode(text: string): string {
  if (!text.includes('%')) return text
  const bytes = text.replace(/%[\da-fA-F]{2}|[^]/g, (part) =>
    part.length === 3 ? String.fromCharCode(Number.parseInt(part.slice(1), 16)) : part,
  )
  return Buffer.from(bytes, 'latin1').toString('utf8')
}
