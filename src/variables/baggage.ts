import { inspect } from 'node:util'
import { type BaggageEntry, type BaggageProperty, encodeMember, entryOf } from './baggage-entry.ts'
import { fitMembers, formatMember, parseMember, visitMembers, visitPlain, type WireMember } from './baggage-grammar.ts'
import { percentDecode } from './percent.ts'

export { baggage } from './current-baggage.ts'

type BaggageProblem = 'malformed' | 'truncated'
const noProblems: readonly BaggageProblem[] = []

/**
 * Key-value pairs that go with a request through all services, in their order; keys may repeat. Immutable. A text from
 * outside is read when it is first asked for; members that break the grammar are dropped one by one.
 *
 * @see {@link https://www.w3.org/TR/baggage/ W3C Baggage}
 */
export class Baggage {
  static readonly empty: Baggage = new Baggage('', [])

  /** As it came, or undefined for a list that was made here. */
  readonly #text: string | undefined
  /** Undefined as long as nobody has read the text. */
  #members: readonly WireMember[] | undefined
  #problems: readonly BaggageProblem[] = noProblems
  /** The members of a plain text, which goes out without being read; 0 of any other, undefined before somebody asks. */
  #plainCount: number | undefined
  /** Something with keys that the text is known not to have. */
  #without: object | undefined

  private constructor(text: string | undefined, members?: readonly WireMember[]) {
    this.#text = text
    this.#members = members
  }

  /** The baggage of a header's text, several lines joined by commas. Never throws. */
  static parse(text: string): Baggage {
    return text === '' ? Baggage.empty : new Baggage(text)
  }

  /** @internal The baggage of a plain text, of as many members and without any that `without` has. */
  static ofPlain(text: string, count: number, without: object): Baggage {
    if (count === 0) return Baggage.empty
    const baggage = new Baggage(text)
    baggage.#plainCount = count
    baggage.#without = without
    return baggage
  }

  /** How many members there are, of repeated keys all. */
  get size(): number {
    return this.#countPlain() || this.members.length
  }

  /** The value of a key; of a key that repeats, the last one, as OpenTelemetry reads it. */
  get(key: string): string | undefined {
    const member = this.members.findLast((known) => known.key === key)
    return member && percentDecode(member.value)
  }

  /** The value of a key with its properties. */
  getEntry(key: string): BaggageEntry | undefined {
    const member = this.members.findLast((known) => known.key === key)
    return member && entryOf(member)
  }

  /**
   * The baggage with one member of that key: in the place of the first one of it, or at the end.
   *
   * @throws {TypeError} if the key or that of a property is no token, or a value no string.
   */
  set(key: string, value: string, properties: readonly BaggageProperty[] = []): Baggage {
    const member = encodeMember(key, value, properties)
    const place = this.members.findIndex((known) => known.key === key)
    const others = this.members.filter((known) => known.key !== key)
    return new Baggage(undefined, others.toSpliced(place === -1 ? others.length : place, 0, member))
  }

  /** The baggage without all members of that key. */
  delete(key: string): Baggage {
    const members = this.members.filter((known) => known.key !== key)
    return members.length === this.members.length ? this : new Baggage(undefined, members)
  }

  *[Symbol.iterator](): Generator<[key: string, entry: BaggageEntry], void, undefined> {
    for (const member of this.members) yield [member.key, entryOf(member)]
  }

  /** What goes out: the text as it came if there is nothing wrong with it, else as many members as fit the limits. */
  toString(): string {
    return this.asItCame ?? fitMembers(this.members.map(formatMember)).text
  }

  [inspect.custom](): string {
    return `Baggage(${this.toString()})`
  }

  /** @internal The text that may go out unchanged. */
  get asItCame(): string | undefined {
    if (this.plainText !== undefined) return this.plainText
    if (this.members.length === 0 || this.#problems.length > 0) return undefined
    return this.#text
  }

  /** @internal The same, if it has no whitespace and nobody has read it. */
  get plainText(): string | undefined {
    return this.#countPlain() > 0 ? this.#text : undefined
  }

  /** @internal */
  isWithout(keys: object): boolean {
    return this.#without === keys
  }

  /**
   * What was wrong with the text: `malformed` for members that break the grammar, `truncated` for what was beyond 8192
   * bytes or 64 members, or had more than 4096 bytes.
   */
  get problems(): readonly BaggageProblem[] {
    if (this.#countPlain() === 0) this.#read()
    return this.#problems
  }

  /** @internal */
  get members(): readonly WireMember[] {
    return this.#read()
  }

  #countPlain(): number {
    if (this.#plainCount === undefined) {
      const unread = this.#members === undefined && this.#text !== undefined
      this.#plainCount = unread ? visitPlain(this.#text, nothing) : 0
    }
    return this.#plainCount
  }

  #read(): readonly WireMember[] {
    return (this.#members ??= this.#parse(this.#text ?? ''))
  }

  #parse(text: string): readonly WireMember[] {
    const members: WireMember[] = []
    let malformed = false
    const whole = visitMembers(text, (start, end) => {
      const member = parseMember(text, start, end)
      if (member === undefined) malformed = true
      else if (member !== null) members.push(member)
    })
    const problems: BaggageProblem[] = []
    if (malformed) problems.push('malformed')
    if (!whole) problems.push('truncated')
    this.#problems = problems
    return members
  }
}

function nothing(): void {}
