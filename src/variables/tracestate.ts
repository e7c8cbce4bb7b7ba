import { inspect } from 'node:util'
import { show } from '../options.ts'
import {
  fitTracestate,
  isPlainTracestate,
  isTracestateKey,
  isTracestateValue,
  maxTracestateLength,
  parseTracestate,
} from './tracestate-grammar.ts'

/**
 * The tracing systems' list that goes with a trace: latest writer first, one member a key. Immutable. A text from
 * outside is read when it is first asked for, and one that breaks the grammar is an empty list.
 *
 * @see {@link https://www.w3.org/TR/trace-context-2/#tracestate-header W3C Trace Context level 2, 3.3}
 */
export class Tracestate {
  static readonly empty: Tracestate = new Tracestate('', [])

  /** As it came until it is read, then what goes out. */
  #text: string
  /** `key=value` texts; undefined as long as nobody has read the text. */
  #members: readonly string[] | undefined
  #problem: 'malformed' | 'truncated' | undefined

  private constructor(text: string, members?: readonly string[]) {
    this.#text = text
    this.#members = members
  }

  /** The list of a header's text, several lines joined by commas. Never throws. */
  static parse(text: string): Tracestate {
    return text === '' ? Tracestate.empty : new Tracestate(text)
  }

  /**
   * What was wrong with the text: `malformed` for a list that breaks the grammar and is dropped whole, `truncated` for
   * one of more than 512 characters that has lost members.
   */
  get problem(): 'malformed' | 'truncated' | undefined {
    this.#read()
    return this.#problem
  }

  /** How many members there are. */
  get size(): number {
    return this.#read().length
  }

  get(key: string): string | undefined {
    return this.#read()
      .find((member) => isOf(member, key))
      ?.slice(key.length + 1)
  }

  /**
   * The list with the member at its front. What is then over 32 members or 512 characters is cut.
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

  /** What goes out: the text as it came, if it keeps to the grammar and the limits. Empty if there are no members. */
  toString(): string {
    if (this.#members === undefined && isPlainTracestate(this.#text)) return this.#text
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
  throw new TypeError(`Tracestate: expected a ${part} of its grammar, got ${show(text)}.`)
}
