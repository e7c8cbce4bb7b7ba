import type { ContextVar } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { anyOf, type Checks, checkOptions, oneOf } from '../options.ts'
import { Baggage, baggage } from '../variables/baggage.ts'
import { fitMembers, formatMember, maxBaggageBytes, visitMembers } from '../variables/baggage-grammar.ts'
import { baggageOf } from '../variables/current-baggage.ts'
import { trimOws } from '../variables/ows.ts'
import { type BaggageCodec, type DeclaredMember, declareMember } from './baggage-member.ts'
import { type Complain, type Destination, mayTell, type Propagator } from './propagator.ts'

const field = 'baggage'

export interface W3cBaggageOptions<Values> {
  /**
   * The members that are variables, by their key in the header: a variable of strings, or one with the functions that
   * turn its value into a text and back. Default: none.
   */
  members?: { readonly [Key in keyof Values]: ContextVar<string, unknown> | BaggageCodec<Values[Key]> }
  /** Whether the other members are kept in the variable `baggage`, and go where that may go. Default: `keep`. */
  others?: 'keep' | 'drop'
}

const checks: Checks = {
  members: anyOf(
    'an object of members',
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  ),
  others: oneOf('keep', 'drop'),
}

/**
 * W3C Baggage: from peers that may set values, to destinations that may be told them. A member that comes twice is
 * refused, neither value taken; a value that is in the context already is kept.
 *
 * Limits, in and out, over all lines of the header together: 8192 bytes, 64 members, 4096 bytes each.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type, a key is no token, or a variable is sensitive.
 * @see {@link https://www.w3.org/TR/baggage/ W3C Baggage}
 */
export function w3cBaggage<Values>(options?: W3cBaggageOptions<Values>): Propagator {
  checkOptions('w3cBaggage', options, checks)
  const { members = {}, others = 'keep' } = options ?? {}
  const declared = new Map(Object.entries(members).map(([key, member]) => [key, declareMember(key, member)]))
  const keep = others === 'keep'

  return {
    fields: [field],
    extract(context, carrier, peer) {
      const text = carrier.get(field)
      if (text === undefined || text === '') return context
      if (!peer.values) {
        peer.complain('refused', field)
        return context
      }
      const { found, rest } = split(text, declared, peer.complain)
      const taken = takeAll(context, text, found, peer.complain)
      return keep && rest !== '' && !taken.has(baggage) ? taken.with(baggage, Baggage.parse(rest)) : taken
    },
    inject(context, carrier, destination) {
      if (destination.values === false || carrier.has(field)) return
      const texts = writeAll(context, declared, destination)
      const unknown = keep && mayTell(destination, baggage) ? baggageOf(context) : undefined
      const { complain } = destination
      const text = unknown === undefined ? fit(texts, complain) : withOthers(texts, unknown, declared, complain)
      if (text !== '') carrier.set(field, text)
    },
  }
}

type Declared = ReadonlyMap<string, DeclaredMember>
/** Where a declared member is in a text; undefined for one that comes twice. */
type Found = Map<DeclaredMember, readonly [start: number, end: number] | undefined>

/** Finds the declared members, and reads no other: the rest stays a text. */
function split(text: string, declared: Declared, complain: Complain): { found: Found; rest: string } {
  const found: Found = new Map()
  if (declared.size === 0 && text.length <= maxBaggageBytes) return { found, rest: text }
  const rest: string[] = []
  const whole = visitMembers(text, (start, end) => {
    const member = declared.get(keyAt(text, start, end))
    if (member === undefined) rest.push(text.slice(start, end))
    else found.set(member, found.has(member) ? undefined : [start, end])
  })
  if (!whole) complain('truncated', field)
  return { found, rest: whole && found.size === 0 ? text : rest.join(',') }
}

function keyAt(text: string, start: number, end: number): string {
  let equals = start
  while (equals < end && text.charCodeAt(equals) !== 0x3d) equals++
  return trimOws(text, start, equals)
}

function takeAll(context: LogicalContext, text: string, found: Found, complain: Complain): LogicalContext {
  let taken = context
  for (const [member, place] of found) {
    if (place === undefined) complain('duplicate', member.field)
    else taken = member.take(taken, text, ...place, complain)
  }
  return taken
}

function writeAll(context: LogicalContext, declared: Declared, destination: Destination): string[] {
  const texts: string[] = []
  for (const member of declared.values()) {
    const text = mayTell(destination, member.variable) ? member.write(context, destination.complain) : undefined
    if (text !== undefined) texts.push(text)
  }
  return texts
}

/** The declared members first, so that they go out if not all can; of the others, those that are not declared. */
function withOthers(texts: string[], others: Baggage, declared: Declared, complain: Complain): string {
  for (const problem of others.problems) complain(problem, field)
  const members = others.members.filter(({ key }) => !declared.has(key))
  if (texts.length === 0 && members.length === others.size && others.asItCame !== undefined) return others.asItCame
  return fit([...texts, ...members.map(formatMember)], complain)
}

function fit(texts: readonly string[], complain: Complain): string {
  const { text, truncated } = fitMembers(texts)
  if (truncated) complain('truncated', field)
  return text
}
