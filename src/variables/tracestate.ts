import { anyOf, checkArgument, inspectCustom, show } from '../options.ts'
import { copyText, trimOws } from './header-text.ts'

/** W3C Trace Context level 2, 3.3.2.1 */
const maxMembers = 32
/** The least that must be propagated, and the most that is propagated here. W3C Trace Context level 2, 3.3.3.1 */
export const maxTracestateLength = 512
/** Longer members are removed first. W3C Trace Context level 2, 3.3.3.1 */
const longMember = 128
/** W3C Trace Context level 2, 3.3.2.2.1 and 3.3.2.2.2 */
const maxKeyLength = 256
const maxValueLength = 256
/** Why a part of a text was refused. */
export type TracestateRefusal = 'malformed' | 'truncated' | 'duplicate'

const [spaceCode, commaCode, equalsCode] = [0x20, 0x2c, 0x3d] as const

const aText = anyOf('a text', (value) => typeof value === 'string')

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
  #refusal: TracestateRefusal | undefined

  private constructor(text: string, members?: readonly string[]) {
    this.#text = text
    this.#members = members
  }

  /**
   * The list of a header's text; several lines are joined by commas. Never throws for a text.
   *
   * @throws {TypeError} if it is not a text.
   */
  static parse(text: string): Tracestate {
    if (typeof text !== 'string') checkArgument('Tracestate.parse', aText, text)
    if (text === '') return Tracestate.empty
    const state = new Tracestate(text)
    // A long text is cut at once, so that it is not retained.
    if (text.length > maxTracestateLength) state.#read()
    return state
  }

  /**
   * @internal Why a part of the text was refused: `malformed` if the list broke the grammar and is dropped, `truncated`
   * if it had more than 512 characters and lost members, `duplicate` if keys were repeated and only the first member of
   * each is kept.
   */
  get refusal(): TracestateRefusal | undefined {
    this.#read()
    return this.#refusal
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
      const key = keyOf(member)
      yield [key, member.slice(key.length + 1)]
    }
  }

  /** The header's text: the text as received if it is within the limits. Empty if there are no members. */
  toString(): string {
    return this.#read().length === 0 ? '' : this.#text
  }

  [inspectCustom](): string {
    return `Tracestate(${this.toString()})`
  }

  /** @internal */
  static ofMembers(members: readonly string[]): Tracestate {
    const kept = fitTracestate(members)
    if (kept.length === 0) return Tracestate.empty
    const text = copyText(kept.join(','))
    return new Tracestate(text, text.split(','))
  }

  #read(): readonly string[] {
    return (this.#members ??= this.#parse())
  }

  #parse(): readonly string[] {
    const list = parseTracestate(this.#text)
    if (list === undefined) {
      this.#text = ''
      this.#refusal = 'malformed'
      return []
    }
    const { members, repeated, size } = list
    const kept = this.#text.length > maxTracestateLength ? fitTracestate(members) : members
    if (kept.length < members.length) this.#refusal = 'truncated'
    else if (repeated) this.#refusal = 'duplicate'
    // Readers that count empty members too would drop a list of more than 32.
    else if (size <= maxMembers && kept === members) return members
    this.#text = copyText(kept.join(','))
    return kept.length === 0 ? [] : this.#text.split(',')
  }

  #without(key: string): string[] {
    return this.#read().filter((member) => !isOf(member, key))
  }
}

/** The text before the `=`, or the whole text if there is none. */
function keyOf(member: string): string {
  const equals = member.indexOf('=')
  return equals === -1 ? member : member.slice(0, equals)
}

function isOf(member: string, key: string): boolean {
  return member.startsWith(key) && member.charCodeAt(key.length) === 0x3d
}

function checkPart(part: string, text: unknown, accepts: (text: string) => boolean): void {
  if (typeof text === 'string' && accepts(text)) return
  throw new TypeError(`Tracestate: expected a ${part} within the grammar, got ${show(text)}.`)
}

interface TracestateList {
  /** `key=value` texts, the first of each key. */
  readonly members: readonly string[]
  readonly repeated: boolean
  /** The number of members, empty ones included. */
  readonly size: number
}

/** The list in a text, or undefined if it is malformed or has more than 32 members that are not empty. */
function parseTracestate(text: string): TracestateList | undefined {
  const members: string[] = []
  const keys: string[] = []
  let count = 0
  let size = 0
  for (let start = 0; start <= text.length; size++) {
    const comma = text.indexOf(',', start)
    const end = comma === -1 ? text.length : comma
    const member = trimOws(text, start, end)
    start = end + 1
    if (member === '') continue
    const key = keyOf(member)
    if (++count > maxMembers || key === member) return undefined
    if (!isTracestateKey(key) || !isTracestateValue(member.slice(key.length + 1))) return undefined
    if (keys.includes(key)) continue
    keys.push(key)
    members.push(member)
  }
  return { members, repeated: members.length < count, size }
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
