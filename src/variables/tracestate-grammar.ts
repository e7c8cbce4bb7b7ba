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
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code < 0x20 || code > 0x7e || code === 0x2c || code === 0x3d) return false
  }
  return true
}

function lengthOf(members: readonly string[]): number {
  return members.reduce((sum, member) => sum + member.length, members.length - 1)
}

function isAlphanumeric(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39)
}

function isKeyCharacter(code: number): boolean {
  if (isAlphanumeric(code)) return true
  return code === 0x5f || code === 0x2d || code === 0x2a || code === 0x2f || code === 0x40 // _ - * / @
}
