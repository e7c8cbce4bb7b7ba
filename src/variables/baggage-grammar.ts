import { show } from '../options.ts'
import { copyText, endOfToken, isToken, trimOws } from './header-text.ts'
import { percentDecode, percentEncode } from './percent.ts'

/** The least that a platform must propagate, and the most that is propagated here. W3C Baggage, 3.3.2 */
const maxMembers = 64
export const maxBaggageBytes = 8192

const [commaCode, semicolonCode, equalsCode] = [0x2c, 0x3b, 0x3d] as const
/** Whether a character may occur in a value, by its code. W3C Baggage, 3.3.1 */
const octets: Uint8Array = new Uint8Array(0x10000)
for (let code = 0x21; code <= 0x7e; code++) {
  if (!'",;\\'.includes(String.fromCharCode(code))) octets[code] = 1
}

/** The parts of a member as they are on the wire, without optional whitespace. */
export interface WireMember {
  readonly key: string
  /** Percent-encoded. */
  readonly value: string
  /** Empty, or `;` and the properties. */
  readonly properties: string
}

/** A key, or a key and its value. */
export type BaggageProperty = readonly [key: string, value?: string]

/** The value and the properties of one key. */
export interface BaggageEntry {
  readonly value: string
  readonly properties: readonly BaggageProperty[]
}

/**
 * Calls `visit` with the position of each member within the limits, and returns whether all members were within them.
 * Empty and malformed members count too, so that the cost is bounded.
 */
export function visitMembers(text: string, visit: (start: number, end: number) => void): boolean {
  for (let start = 0, count = 0; start <= text.length; count++) {
    const comma = text.indexOf(',', start)
    const end = comma === -1 ? text.length : comma
    if (count === maxMembers || end > maxBaggageBytes) return false
    visit(start, end)
    start = end + 1
  }
  return true
}

/**
 * The same for a plain text: within the limits, with only well-formed members, without whitespace. Returns the number of
 * members. For any other text it returns 0, and may have called `visit`. Reads each character once.
 */
export function visitPlain(text: string, visit: (start: number, end: number) => void): number {
  if (text.length > maxBaggageBytes) return 0
  for (let start = 0, count = 1; count <= maxMembers; count++) {
    const end = plainEnd(text, start)
    if (end === -1) return 0
    visit(start, end)
    if (end === text.length) return count
    start = end + 1
  }
  return 0
}

/** The members followed by a list of `count` members that is within the limits; undefined if both exceed the limits. */
export function prepend(texts: readonly string[], list: string, count: number): string | undefined {
  let joined = list
  for (let i = texts.length - 1; i >= 0; i--) joined = `${texts[i] as string},${joined}`
  return texts.length + count <= maxMembers && joined.length <= maxBaggageBytes ? joined : undefined
}

/** As many of the members, in their order, as the limits allow. */
export function fitMembers(texts: readonly string[]): { text: string; truncated: boolean } {
  const kept: string[] = []
  let bytes = -1
  for (const text of texts) {
    if (kept.length === maxMembers || bytes + 1 + text.length > maxBaggageBytes) continue
    bytes += 1 + text.length
    kept.push(text)
  }
  return { text: kept.join(','), truncated: kept.length < texts.length }
}

/** The parts of a member: `null` for an empty member, `undefined` for a malformed one. W3C Baggage, 3.3.1 */
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

/** The keys and percent-encoded values of `a=1;b`, or undefined if one is malformed. */
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

/** A member that does not retain the text it was cut from. */
export function copyMember({ key, value, properties }: WireMember): WireMember {
  return { key: copyText(key), value: copyText(value), properties: copyText(properties) }
}

export function formatMember({ key, value, properties }: WireMember): string {
  return `${key}=${value}${properties}`
}

/**
 * The parts of a member with this key and this value.
 *
 * @throws {TypeError} if the key of the member or of a property is not a token, or a value is not a string.
 */
export function encodeMember(key: string, value: string, properties: readonly BaggageProperty[]): WireMember {
  checkKey(key)
  checkValue(value)
  return { key, value: encodeBaggageText(value), properties: properties.map(encodeProperty).join('') }
}

/** A value, percent-encoded where the grammar requires it. */
export function encodeBaggageText(text: string): string {
  return percentEncode(text, isBaggageOctet)
}

/** The decoded value and properties of a member. */
export function entryOf({ value, properties }: WireMember): BaggageEntry {
  const pairs = properties === '' ? [] : (parseProperties(properties.slice(1)) ?? [])
  return { value: percentDecode(value), properties: pairs.map(decodeProperty) }
}

export function decodeProperty([key, value]: BaggageProperty): BaggageProperty {
  return value === undefined ? [key] : [key, percentDecode(value)]
}

/** Whether a character may occur in a value: printable ASCII except space, `"`, `,`, `;` and `\`. */
export function isBaggageOctet(code: number): boolean {
  return octets[code] === 1
}

function encodeProperty([key, value]: BaggageProperty): string {
  checkKey(key)
  if (value === undefined) return formatProperty([key])
  checkValue(value)
  return formatProperty([key, encodeBaggageText(value)])
}

function formatProperty([key, value]: BaggageProperty): string {
  return value === undefined ? `;${key}` : `;${key}=${value}`
}

function isBaggageText(text: string): boolean {
  return endOfOctets(text, 0) === text.length
}

function endOfOctets(text: string, start: number): number {
  let end = start
  while (end < text.length && octets[text.charCodeAt(end)] === 1) end++
  return end
}

/** The end of the member that starts at `start`, at a comma or the end of the text; -1 if the member is not plain. */
function plainEnd(text: string, start: number): number {
  let end = endOfToken(text, start)
  if (end === start || text.charCodeAt(end) !== equalsCode) return -1
  end = endOfOctets(text, end + 1)
  while (text.charCodeAt(end) === semicolonCode) {
    const key = end + 1
    end = endOfToken(text, key)
    if (end === key) return -1
    if (text.charCodeAt(end) === equalsCode) end = endOfOctets(text, end + 1)
  }
  return end === text.length || text.charCodeAt(end) === commaCode ? end : -1
}

function checkKey(key: unknown): void {
  if (typeof key === 'string' && isToken(key)) return
  throw new TypeError(`Baggage: expected the key to be a token, as header names are, got ${show(key)}.`)
}

function checkValue(value: unknown): void {
  if (typeof value !== 'string') throw new TypeError(`Baggage: expected the value to be a string, got ${show(value)}.`)
}
