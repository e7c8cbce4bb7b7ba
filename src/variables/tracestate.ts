import { inspect } from 'node:util'
import { show } from '../options.ts'
import { trimOws } from './header-text.ts'

/** W3C Trace Context level 2, 3.3.2.1 */
const maxMembers = 32
/** The least that must be propagated, and the most that is propagated here. W3C Trace Context level 2, 3.3.3.1 */
export const maxTracestateLength = 512
/** Longer members are removed first. W3C Trace Context level 2, 3.3.3.1 */
const longMember = 128
/** W3C Trace Context level 2, 3.3.2.2.1 and 3.3.2.2.2 */
const maxKeyLength = 256
const maxValueLength = 256
const [spaceCode, commaCode, equalsCode] = [0x20, 0x2c, 0x3d] as const

/**
 * The list of members that tracing systems add to a trace: the latest writer first, one member per key. Immutable. A
 * text from a peer is parsed at its first use; a malformed text is an empty list.
 *
 * @see {@link https://www.w3.org/TR/trace-context-2/#tracestate-header W3C Trace Context level 2, 3.3}
 */
export class Tracestate {
  static readonly empty: Tracestate = new Tracestate('', [])

  /** The text as received until it is parsed, then the text to write. */
  #text: string
  /** `key=value` texts; undefined until the text is parsed. */
  #members: readonly string[] | undefined
  #problem: 'malformed' | 'truncated' | undefined

  private constructor(text: string, members?: readonly string[]) {
    this.#text = text
    this.#members = members
  }

  /** The list of a header's text; several lines are joined by commas. Never throws. */
  static parse(text: string): Tracestate {
    return text === '' ? Tracestate.empty : new Tracestate(text)
  }

  /**
   * What was wrong with the text: `malformed` if the list broke the grammar and is dropped, `truncated` if it had more
   * than 512 characters and lost members.
   */
  get problem(): 'malformed' | 'truncated' | undefined {
    this.#read()
    return this.#problem
  }

  /** The number of members. */
  get size(): number {
    return this.#read().length
  }

  get(key: string): string | undefined {
    return this.#read()
      .find((member) => isOf(member, key))
      ?.slice(key.length + 1)
  }

  /**
   * The list with the member at its front. Members beyond 32 members or 512 characters are removed.
   *
   * @throws {TypeError} if the key or the value breaks the grammar.
   */
  set(key: string, value: string): Tracestate {
    checkPart('key', key, isTracestateKey)
    checkPart('value', value, isTracestateValue)
    return Tracestate.ofMembers([`${key}=${value}`, ...this.#without(key)])
  }

  /** The list without the member. */
  delete(key: string): Tracestate {
    return this.get(key) === undefined ? this : Tracestate.ofMembers(this.#without(key))
  }

  /** Keys and values, front first. */
  *[Symbol.iterator](): Generator<[key: string, value: string], void, undefined> {
    for (const member of this.#read()) {
      const equals = member.indexOf('=')
      yield [member.slice(0, equals), member.slice(equals + 1)]
    }
  }

  /** The header's text: the text as received if it is within the limits. Empty if there are no members. */
  toString(): string {
    return this.#read().length === 0 ? '' : this.#text
  }

  [inspect.custom](): string {
    return `Tracestate(${this.toString()})`
  }

  /** @internal */
  static ofMembers(members: readonly string[]): Tracestate {
    const kept = fitTracestate(members)
    return kept.length === 0 ? Tracestate.empty : new Tracestate(kept.join(','), kept)
  }

  #read(): readonly string[] {
    return (this.#members ??= this.#parse())
  }

  #parse(): readonly string[] {
    const members = parseTracestate(this.#text)
    if (members === undefined) {
      this.#problem = 'malformed'
      return []
    }
    if (this.#text.length <= maxTracestateLength) return members
    const kept = fitTracestate(members)
    this.#text = kept.join(',')
    if (kept.length < members.length) this.#problem = 'truncated'
    return kept
  }

  #without(key: string): string[] {
    return this.#read().filter((member) => !isOf(member, key))
  }
}

function isOf(member: string, key: string): boolean {
  return member.startsWith(key) && member.charCodeAt(key.length) === 0x3d
}

function checkPart(part: string, text: unknown, accepts: (text: string) => boolean): void {
  if (typeof text === 'string' && accepts(text)) return
  throw new TypeError(`Tracestate: expected a ${part} within the grammar, got ${show(text)}.`)
}

/** The members of a list as `key=value` texts, or undefined for a malformed list. */
function parseTracestate(text: string): string[] | undefined {
  const members: string[] = []
  const keys: string[] = []
  let count = 0
  for (let start = 0; start <= text.length;) {
    // Empty members count too.
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

/** The members that are written: long members are removed first, then those at the end. */
function fitTracestate(members: readonly string[]): string[] {
  const kept = members.slice(0, maxMembers)
  for (let i = kept.length - 1; i >= 0 && lengthOf(kept) > maxTracestateLength; i--) {
    if ((kept[i] as string).length > longMember) kept.splice(i, 1)
  }
  while (lengthOf(kept) > maxTracestateLength) kept.pop()
  return kept
}

/** A key of level 2: a letter or digit, then up to 255 of `a-z 0-9 _ - * / @`. */
function isTracestateKey(key: string): boolean {
  if (key.length === 0 || key.length > maxKeyLength || !isAlphanumeric(key.charCodeAt(0))) return false
  for (let i = 1; i < key.length; i++) if (!isKeyCharacter(key.charCodeAt(i))) return false
  return true
}

/** A value: up to 256 printable ASCII characters except `,` and `=`; the last one is not a space. */
function isTracestateValue(value: string): boolean {
  if (value.length === 0 || value.length > maxValueLength || value.endsWith(' ')) return false
  for (let i = 0; i < value.length; i++) if (!isValueCharacter(value.charCodeAt(i))) return false
  return true
}

function lengthOf(members: readonly string[]): number {
  return members.reduce((sum, member) => sum + member.length, members.length - 1)
}

function isAlphanumeric(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39)
}

function isValueCharacter(code: number): boolean {
  return code >= spaceCode && code <= 0x7e && code !== commaCode && code !== equalsCode
}

function isKeyCharacter(code: number): boolean {
  if (isAlphanumeric(code)) return true
  return code === 0x5f || code === 0x2d || code === 0x2a || code === 0x2f || code === 0x40 // _ - * / @
}
