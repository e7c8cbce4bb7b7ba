import { trimOws } from './ows.ts'

/** W3C Trace Context level 2, 3.3.2.1 */
const maxMembers = 32
/** W3C Trace Context level 2, 3.3.3.1: the least that must be passed on, and the most that is. */
export const maxTracestateLength = 512
/** Members longer than this are cut first. W3C Trace Context level 2, 3.3.3.1 */
const longMember = 128
/** W3C Trace Context level 2, 3.3.2.2.1 and 3.3.2.2.2 */
const maxKeyLength = 256
const maxValueLength = 256
const [blankCode, commaCode, equalsCode] = [0x20, 0x2c, 0x3d] as const

/** The members of a list as `key=value` texts, or undefined for a list that breaks the grammar. */
export function parseTracestate(text: string): string[] | undefined {
  const members: string[] = []
  const keys: string[] = []
  let count = 0
  for (let start = 0; start <= text.length;) {
    // Empty members are members too: they spend the same budget.
    if (++count > maxMembers) return undefined
    const comma = text.indexOf(',', start)
    const end = comma === -1 ? text.length : comma
    const member = trimOws(text, start, end)
    start = end + 1
    if (member === '') continue
    const equals = member.indexOf('=')
    const key = member.slice(0, equals)
    if (equals === -1 || !isTracestateKey(key) || !isTracestateValue(member.slice(equals + 1))) return undefined
    if (keys.includes(key)) return undefined
    keys.push(key)
    members.push(member)
  }
  return members
}

/** Where the keys of a list begin and end, while it is being looked at. */
const keyStarts: Int32Array = new Int32Array(maxMembers)
const keyEnds: Int32Array = new Int32Array(maxMembers)

/**
 * Whether a text is a list within the limits without whitespace around its members. Any other may be in order too. Each
 * character is looked at once, but for those of keys of one length, and nothing is made.
 */
export function isPlainTracestate(text: string): boolean {
  if (text.length > maxTracestateLength) return false
  for (let start = 0, count = 0; count < maxMembers; count++) {
    const equals = keyEnd(text, start)
    const end = equals === -1 ? -1 : valueEnd(text, equals + 1)
    if (end === -1 || isTaken(text, start, equals, count)) return false
    if (end === text.length) return true
    keyStarts[count] = start
    keyEnds[count] = equals
    start = end + 1
  }
  return false
}

/** The members that may go out: whole ones only, long ones cut first, then those at the end. */
export function fitTracestate(members: readonly string[]): string[] {
  const kept = members.slice(0, maxMembers)
  for (let i = kept.length - 1; i >= 0 && lengthOf(kept) > maxTracestateLength; i--) {
    if ((kept[i] as string).length > longMember) kept.splice(i, 1)
  }
  while (lengthOf(kept) > maxTracestateLength) kept.pop()
  return kept
}

/** Level 2 has one kind of key: a letter or digit, then up to 255 of `a-z 0-9 _ - * / @`. */
export function isTracestateKey(key: string): boolean {
  if (key.length === 0 || key.length > maxKeyLength || !isAlphanumeric(key.charCodeAt(0))) return false
  for (let i = 1; i < key.length; i++) if (!isKeyCharacter(key.charCodeAt(i))) return false
  return true
}

/** Up to 256 printable ASCII characters but `,` and `=`, the last one not blank. */
export function isTracestateValue(value: string): boolean {
  if (value.length === 0 || value.length > maxValueLength || value.endsWith(' ')) return false
  for (let i = 0; i < value.length; i++) if (!isValueCharacter(value.charCodeAt(i))) return false
  return true
}

/** Where a key ends that begins at a place, at its `=`; -1 if none does. */
function keyEnd(text: string, start: number): number {
  if (!isAlphanumeric(text.charCodeAt(start))) return -1
  let end = start + 1
  while (isKeyCharacter(text.charCodeAt(end))) end++
  return text.charCodeAt(end) === equalsCode && end - start <= maxKeyLength ? end : -1
}

/** Where a value ends that begins at a place, at a comma or with the text; -1 if it breaks the grammar. */
function valueEnd(text: string, start: number): number {
  let end = start
  while (end < text.length && isValueCharacter(text.charCodeAt(end))) end++
  if (end === start || end - start > maxValueLength) return -1
  if (text.charCodeAt(start) === blankCode || text.charCodeAt(end - 1) === blankCode) return -1
  return end === text.length || text.charCodeAt(end) === commaCode ? end : -1
}

/** Whether one of the first `count` keys is the one between two places. */
function isTaken(text: string, start: number, end: number, count: number): boolean {
  for (let i = 0; i < count; i++) {
    const from = keyStarts[i] as number
    if ((keyEnds[i] as number) - from === end - start && isSame(text, from, start, end - start)) return true
  }
  return false
}

function isSame(text: string, first: number, second: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (text.charCodeAt(first + i) !== text.charCodeAt(second + i)) return false
  return true
}

function lengthOf(members: readonly string[]): number {
  return members.reduce((sum, member) => sum + member.length, members.length - 1)
}

function isAlphanumeric(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39)
}

function isValueCharacter(code: number): boolean {
  return code >= blankCode && code <= 0x7e && code !== commaCode && code !== equalsCode
}

function isKeyCharacter(code: number): boolean {
  if (isAlphanumeric(code)) return true
  return code === 0x5f || code === 0x2d || code === 0x2a || code === 0x2f || code === 0x40 // _ - * / @
}
