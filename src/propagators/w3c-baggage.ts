import type { ContextVar } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { anyOf, type Checks, checkOptions, oneOf } from '../options.ts'
import { Baggage, baggage } from '../variables/baggage.ts'
import { fitMembers, formatMember, maxBaggageBytes, prepend, visitMembers } from '../variables/baggage-grammar.ts'
import { baggageOf } from '../variables/current-baggage.ts'
import { type BaggageCodec, type DeclaredMember, declareMember } from './baggage-member.ts'
import { DeclaredMembers } from './declared-members.ts'
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
  const declared = new DeclaredMembers(Object.entries(members).map(([key, member]) => declareMember(key, member)))
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

/** Where a declared member is in a text; undefined for one that comes twice. */
type Found = Map<DeclaredMember, Place | undefined>
type Place = readonly [start: number, end: number]

/** Finds the declared members, and reads no other: the rest stays a text. */
function split(text: string, declared: DeclaredMembers, complain: Complain): { found: Found; rest: string } {
  const found: Found = new Map()
  if (declared.list.length === 0 && text.length <= maxBaggageBytes) return { found, rest: text }
  const find = declared.finderIn(text)
  const places: Place[] = []
  const whole = visitMembers(text, (start, end) => {
    const member = find(start, end)
    if (member === undefined) return
    const place = [start, end] as const
    places.push(place)
    found.set(member, found.has(member) ? undefined : place)
  })
  if (whole) return { found, rest: withoutPlaces(text, places) }
  complain('truncated', field)
  const rest: string[] = []
  visitMembers(text, (start, end) => {
    if (find(start, end) === undefined) rest.push(text.slice(start, end))
  })
  return { found, rest: rest.join(',') }
}

/** A list without those of its members, by as few cuts as there can be. */
function withoutPlaces(text: string, places: readonly Place[]): string {
  if (places.length === 0) return text
  const kept: string[] = []
  let from = 0
  for (const [start, end] of places) {
    if (start > from) kept.push(text.slice(from, start - 1))
    from = end + 1
  }
  if (from <= text.length) kept.push(text.slice(from))
  return kept.join(',')
}

function takeAll(context: LogicalContext, text: string, found: Found, complain: Complain): LogicalContext {
  let taken = context
  for (const [member, place] of found) {
    if (place === undefined) complain('duplicate', member.field)
    else taken = member.take(taken, text, ...place, complain)
  }
  return taken
}

function writeAll(context: LogicalContext, declared: DeclaredMembers, destination: Destination): string[] {
  const texts: string[] = []
  for (const member of declared.list) {
    const text = mayTell(destination, member.variable) ? member.write(context, destination.complain) : undefined
    if (text !== undefined) texts.push(text)
  }
  return texts
}

/** The declared members first, so that they go out if not all can; of the others, those that are not declared. */
function withOthers(texts: string[], others: Baggage, declared: DeclaredMembers, complain: Complain): string {
  for (const problem of others.problems) complain(problem, field)
  const list = texts.length === 0 ? others.asItCame : others.plainText
  const joined = list === undefined || declared.areIn(list) ? undefined : prepend(texts, list, others.size)
  if (joined !== undefined) return joined
  return fit([...texts, ...others.members.filter(({ key }) => !declared.has(key)).map(formatMember)], complain)
}

function fit(texts: readonly string[], complain: Complain): string {
  const { text, truncated } = fitMembers(texts)
  if (truncated) complain('truncated', field)
  return text
}
