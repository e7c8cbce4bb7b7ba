import { trimOws } from './ows.ts'

/** What passes at least, by W3C Baggage, 3.3.2, and is let through at most. */
const maxMembers = 64
export const maxBaggageBytes = 8192
const maxMemberBytes = 4096

const tokenKind = 1
const octetKind = 2
const [commaCode, semicolonCode, equalsCode] = [0x2c, 0x3b, 0x3d] as const
const kinds = characterKinds()

/** A member as it is on the wire, in its parts, without optional whitespace. */
export interface WireMember {
  readonly key: string
  /** Percent-encoded. */
  readonly value: string
  /** Empty, or `;` and the properties. */
  readonly properties: string
}

/**
 * Shows each member's place in the text, as far as the limits go; says whether all were within them. Members that are
 * empty or malformed spend the same budget, so that nothing a peer sends is dear.
 */
export function visitMembers(text: string, visit: (start: number, end: number) => void): boolean {
  let count = 0
  let all = true
  for (let start = 0; start <= text.length; count++) {
    if (count === maxMembers) return false
    const comma = text.indexOf(',', start)
    const end = comma === -1 ? text.length : comma
    if (end > maxBaggageBytes) return false
    if (end - start > maxMemberBytes) all = false
    else visit(start, end)
    start = end + 1
  }
  return all
}

/**
 * The same for a plain text: one within the limits, of nothing but well-formed members without whitespace. Gives their
 * number; 0 for any other text, of which some members may have been shown. Each character is looked at once.
 */
export function visitPlain(text: string, visit: (start: number, end: number) => void): number {
  if (text.length > maxBaggageBytes) return 0
  for (let start = 0, count = 1; count <= maxMembers; count++) {
    const end = plainEnd(text, start)
    if (end === -1 || end - start > maxMemberBytes) return 0
    visit(start, end)
    if (end === text.length) return count
    start = end + 1
  }
  return 0
}

/** Members in front of a list that keeps to the limits; undefined if not all of both fit them. */
export function prepend(texts: readonly string[], list: string, count: number): string | undefined {
  let joined = list
  for (let i = texts.length - 1; i >= 0; i--) {
    const text = texts[i] as string
    if (text.length > maxMemberBytes) return undefined
    joined = `${text},${joined}`
  }
  return texts.length + count <= maxMembers && joined.length <= maxBaggageBytes ? joined : undefined
}

/** As many of the members, in their order, as fit the limits. */
export function fitMembers(texts: readonly string[]): { text: string; truncated: boolean } {
  const kept: string[] = []
  let bytes = -1
  for (const text of texts) {
    if (kept.length === maxMembers || text.length > maxMemberBytes || bytes + 1 + text.length > maxBaggageBytes)
      continue
    bytes += 1 + text.length
    kept.push(text)
  }
  return { text: kept.join(','), truncated: kept.length < texts.length }
}

/** A member's parts, `null` if it is empty, `undefined` if it breaks the grammar. W3C Baggage, 3.3.1 */
export function parseMember(text: string, start: number, end: number): WireMember | null | undefined {
  const member = trimOws(text, start, end)
  if (member === '') return null
  const semicolon = member.indexOf(';')
  const assignment = semicolon === -1 ? member : member.slice(0, semicolon)
  const equals = assignment.indexOf('=')
  if (equals === -1) return undefined
  const key = trimOws(assignment, 0, equals)
  const value = trimOws(assignment, equals + 1)
  if (!isToken(key) || !isBaggageText(value)) return undefined
  if (semicolon === -1) return { key, value, properties: '' }
  const properties = parseProperties(member.slice(semicolon + 1))
  if (properties === undefined) return undefined
  return { key, value, properties: properties.map(formatProperty).join('') }
}

/** Keys and percent-encoded values of `a=1;b`, or undefined if one breaks the grammar. */
export function parseProperties(text: string): [key: string, value?: string][] | undefined {
  const properties: [key: string, value?: string][] = []
  for (const part of text.split(';')) {
    const equals = part.indexOf('=')
    const key = trimOws(part, 0, equals === -1 ? part.length : equals)
    const value = equals === -1 ? undefined : trimOws(part, equals + 1)
    if (!isToken(key) || (value !== undefined && !isBaggageText(value))) return undefined
    properties.push(value === undefined ? [key] : [key, value])
  }
  return properties
}

export function formatMember({ key, value, properties }: WireMember): string {
  return `${key}=${value}${properties}`
}

export function formatProperty([key, value]: readonly [key: string, value?: string]): string {
  return value === undefined ? `;${key}` : `;${key}=${value}`
}

/** A name as HTTP has it. RFC 9110, 5.6.2 */
export function isToken(text: string): boolean {
  return text !== '' && isOfKind(text, tokenKind)
}

/** Whether a character may stand in a value: printable ASCII but blank, `"`, `,`, `;` and `\`. */
export function isBaggageOctet(code: number): boolean {
  return ((kinds[code] as number) & octetKind) !== 0
}

function isBaggageText(text: string): boolean {
  return isOfKind(text, octetKind)
}

function isOfKind(text: string, kind: number): boolean {
  return endOfKind(text, 0, kind) === text.length
}

/** Where the characters of one kind end that begin at a place. */
function endOfKind(text: string, start: number, kind: number): number {
  let end = start
  while (end < text.length && ((kinds[text.charCodeAt(end)] as number) & kind) !== 0) end++
  return end
}

/** Where the member that begins at a place ends, at a comma or with the text; -1 if it is not plain. */
function plainEnd(text: string, start: number): number {
  let end = endOfKind(text, start, tokenKind)
  if (end === start || text.charCodeAt(end) !== equalsCode) return -1
  end = endOfKind(text, end + 1, octetKind)
  while (text.charCodeAt(end) === semicolonCode) {
    const key = end + 1
    end = endOfKind(text, key, tokenKind)
    if (end === key) return -1
    if (text.charCodeAt(end) === equalsCode) end = endOfKind(text, end + 1, octetKind)
  }
  return end === text.length || text.charCodeAt(end) === commaCode ? end : -1
}

/** As long as there are codes: no look-up is out of range. */
function characterKinds(): Uint8Array {
  const table = new Uint8Array(0x10000)
  for (let code = 0x21; code <= 0x7e; code++) {
    const character = String.fromCharCode(code)
    if (!'",;\\'.includes(character)) table[code] = octetKind
    if (!'"(),/:;<=>?@[\\]{}'.includes(character)) table[code] = (table[code] as number) | tokenKind
  }
  return table
}
