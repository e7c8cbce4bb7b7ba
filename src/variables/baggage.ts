import { bridge } from '../context/bridge.ts'
import { ContextVar, peek } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { processSingleton } from '../context/storage.ts'
import { anyOf, checkArgument, inspectCustom } from '../options.ts'
import {
  type BaggageEntry,
  type BaggageProperty,
  copyMember,
  encodeMember,
  entryOf,
  fitMembers,
  formatMember,
  maxBaggageBytes,
  parseMember,
  visitMembers,
  visitPlain,
  type WireMember,
} from './baggage-grammar.ts'
import { copyText } from './header-text.ts'
import { percentDecode } from './percent.ts'

type BaggageRefusal = 'malformed' | 'truncated'
const noRefusals: readonly BaggageRefusal[] = []

const aText = anyOf('a text', (value) => typeof value === 'string')
const aPropertyList = anyOf(
  'an array of properties, each [key] or [key, value]',
  (value) => Array.isArray(value) && value.every(Array.isArray),
)

/**
 * An ordered list of key-value pairs that a request carries through all services; keys may repeat. Immutable. A text
 * from a peer is parsed at its first use; malformed members are dropped one by one.
 *
 * @see {@link https://www.w3.org/TR/baggage/ W3C Baggage}
 */
export class Baggage {
  static readonly empty: Baggage = new Baggage('', [])

  /** The text as received; undefined if it cannot be written unchanged, and for a list that was made here. */
  #text: string | undefined
  /** Undefined until the text is parsed. */
  #members: readonly WireMember[] | undefined
  #refusals: readonly BaggageRefusal[] = noRefusals
  /** The number of members of a plain text, which is written without a parse; 0 for any other; undefined if unknown. */
  #plainCount: number | undefined
  /** A set of keys that do not occur in the text. */
  #without: object | undefined

  private constructor(text: string | undefined, members?: readonly WireMember[]) {
    this.#text = text
    this.#members = members
  }

  /**
   * The baggage of a header's text; several lines are joined by commas. Never throws for a text.
   *
   * @throws {TypeError} if it is not a text.
   */
  static parse(text: string): Baggage {
    if (typeof text !== 'string') checkArgument('Baggage.parse', aText, text)
    if (text === '') return Baggage.empty
    const baggage = new Baggage(text)
    // A long text is cut at once, so that it is not retained.
    if (text.length > maxBaggageBytes) baggage.#read()
    return baggage
  }

  /** @internal The baggage of a plain text with `count` members, none of which is in `without`. */
  static ofPlain(text: string, count: number, without: object): Baggage {
    if (count === 0) return Baggage.empty
    const baggage = new Baggage(text)
    baggage.#plainCount = count
    baggage.#without = without
    return baggage
  }

  /** The number of members; each repeated key counts. */
  get size(): number {
    return this.#countPlain() || this.members.length
  }

  /** The value of a key; for a repeated key the last value, as in OpenTelemetry. */
  get(key: string): string | undefined {
    const member = this.members.findLast((known) => known.key === key)
    return member && percentDecode(member.value)
  }

  /** The value of a key and its properties. */
  getEntry(key: string): BaggageEntry | undefined {
    const member = this.members.findLast((known) => known.key === key)
    return member && entryOf(member)
  }

  /**
   * The baggage with exactly one member of that key: at the position of the first one, or at the end.
   *
   * @throws {TypeError} if the key of the member or of a property is not a token, or a value is not a string.
   */
  set(key: string, value: string, properties: readonly BaggageProperty[] = []): Baggage {
    checkArgument('Baggage.set', aPropertyList, properties)
    const member = encodeMember(key, value, properties)
    const place = this.members.findIndex((known) => known.key === key)
    const others = this.members.filter((known) => known.key !== key).map(copyMember)
    return new Baggage(undefined, others.toSpliced(place === -1 ? others.length : place, 0, member))
  }

  /** The baggage without the members of that key. */
  delete(key: string): Baggage {
    const members = this.members.filter((known) => known.key !== key)
    return members.length === this.members.length ? this : new Baggage(undefined, members.map(copyMember))
  }

  *[Symbol.iterator](): Generator<[key: string, entry: BaggageEntry], void, undefined> {
    for (const member of this.members) yield [copyText(member.key), entryOf(member)]
  }

  /** The header's text: the text as received if nothing is wrong with it, else as many members as the limits allow. */
  toString(): string {
    return this.asItCame ?? fitMembers(this.members.map(formatMember)).text
  }

  [inspectCustom](): string {
    return `Baggage(${this.toString()})`
  }

  /** @internal The text, if it can be written unchanged. */
  get asItCame(): string | undefined {
    if (this.plainText !== undefined) return this.plainText
    return this.members.length === 0 ? undefined : this.#text
  }

  /** @internal The same, if it has no whitespace and is not parsed. */
  get plainText(): string | undefined {
    return this.#countPlain() > 0 ? this.#text : undefined
  }

  /** @internal */
  isWithout(keys: object): boolean {
    return this.#without === keys
  }

  /**
   * What was wrong with the text: `malformed` if a member broke the grammar, `truncated` if a member was beyond 8192
   * bytes or 64 members.
   */
  get refusals(): readonly BaggageRefusal[] {
    if (this.#countPlain() === 0) this.#read()
    return this.#refusals
  }

  /** @internal */
  get members(): readonly WireMember[] {
    return this.#read()
  }

  #countPlain(): number {
    if (this.#plainCount === undefined) {
      const unread = this.#members === undefined && this.#text !== undefined
      this.#plainCount = unread ? visitPlain(this.#text ?? '', nothing) : 0
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
    const refusals: BaggageRefusal[] = []
    if (malformed) refusals.push('malformed')
    if (!whole) refusals.push('truncated')
    this.#refusals = refusals
    if (refusals.length === 0) return members
    this.#text = undefined
    return members.map(copyMember)
  }
}

/** The one variable whose value a bridge may hold: the check costs nothing on all others. */
class BaggageVar extends ContextVar<Baggage, undefined> {
  override get(): Baggage | undefined {
    return withBridge(super.get())
  }
}

/** The baggage of the current unit, without the members that are variables of their own. */
export const baggage: ContextVar<Baggage> = processSingleton('baggage', () => new BaggageVar('baggage'))

/** The baggage to send to others from `context`. For the context of the code that runs now, it is what `get` returns. */
export function baggageOf(context: LogicalContext): Baggage | undefined {
  const known = context.get(baggage)
  return known === peek(baggage) ? withBridge(known) : known
}

/** With a bridge, another library's baggage comes and goes within a unit. */
function withBridge(own: Baggage | undefined): Baggage | undefined {
  return bridge.current?.baggage === undefined ? own : (bridge.current.baggage(own) as Baggage | undefined)
}

function nothing(): void {}
