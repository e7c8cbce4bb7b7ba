import type { ContextVar } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { anyOf, type Checks, checkOptions, isRecord, oneOf } from '../options.ts'
import { Baggage, baggage, baggageOf } from '../variables/baggage.ts'
import {
  fitMembers,
  formatMember,
  maxBaggageBytes,
  prepend,
  visitMembers,
  visitPlain,
} from '../variables/baggage-grammar.ts'
import { copyText } from '../variables/header-text.ts'
import { traceOf } from '../variables/trace-context.ts'
import { type BaggageCodec, type DeclaredMember, DeclaredMembers, declareMember } from './baggage-members.ts'
import { type Destination, mayInject, type Propagator, type Refuse } from './propagator.ts'

const field = 'baggage'
const sentryPrefix = 'sentry-'

/** Options of `w3cBaggage`. */
export interface W3cBaggageOptions<Values> {
  /**
   * The members that belong to variables, by their key in the header: a variable of strings, or a variable with the
   * functions that convert its value. Default: none.
   */
  members?: { readonly [Key in keyof Values]: ContextVar<string, unknown> | BaggageCodec<Values[Key]> }
  /** Whether other members are kept in the variable `baggage`, and written where that may be written. Default: `keep`. */
  others?: 'keep' | 'drop'
}

const checks: Checks = {
  members: anyOf('an object of members', isRecord),
  others: oneOf('keep', 'drop'),
}

/**
 * W3C Baggage: read from peers that may set values, written to destinations that may receive them. If a declared member
 * occurs twice, both are refused. A value that the context already has is kept.
 *
 * Limits for reading and writing, over all lines of the header together: 8192 bytes and 64 members.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type, a key is not a token, or a variable is sensitive.
 * @see {@link https://www.w3.org/TR/baggage/ W3C Baggage}
 */
export function w3cBaggage<Values>(options?: W3cBaggageOptions<Values>): Propagator {
  const { members = {}, others = 'keep' } = checkOptions('w3cBaggage', options, checks)
  const declared = new DeclaredMembers(Object.entries(members).map(([key, member]) => declareMember(key, member)))
  const keep = others === 'keep'

  return {
    fields: [field],
    variables: [...declared.list.map(({ variable }) => variable), baggage],
    extract(context, carrier, peer) {
      const text = carrier.get(field) ?? ''
      if (text === '') return context
      if (!peer.values) {
        peer.refuse('refused', field)
        return context
      }
      const { found, others: rest } = split(text, declared, peer.refuse)
      const taken = takeAll(context, text, found, peer.refuse)
      return keep && rest !== Baggage.empty && !taken.has(baggage) ? taken.with(baggage, rest) : taken
    },
    inject(context, carrier, destination) {
      if (destination.values === false || carrier.has(field)) return
      const texts = writeAll(context, declared, destination)
      const unknown = keep && mayInject(destination, baggage) ? ofTrace(baggageOf(context), context) : undefined
      const { refuse } = destination
      const text = unknown === undefined ? fit(texts, refuse) : withOthers(texts, unknown, declared, refuse)
      if (text !== '') carrier.set(field, text)
    },
  }
}

/** The position of a declared member in a text. */
interface Found {
  readonly member: DeclaredMember
  readonly start: number
  readonly end: number
  /** Whether it is the first occurrence of this member. */
  readonly first: boolean
  /** Whether it is the only occurrence of this member. */
  single: boolean
}

/** The parts of a header: the declared members, and the others as a list. */
interface Parts {
  readonly found: readonly Found[]
  readonly others: Baggage
}

/** Finds the declared members, and parses no other member. */
function split(text: string, declared: DeclaredMembers, refuse: Refuse): Parts {
  if (declared.list.length === 0 && text.length <= maxBaggageBytes) return { found: [], others: Baggage.parse(text) }
  const found: Found[] = []
  const count = visitPlain(text, (start, end) => addTo(found, declared.keyAt(text, start, end), start, end))
  if (count === 0) return splitSlowly(text, declared, refuse)
  return { found, others: Baggage.ofPlain(without(found, text), count - found.length, declared) }
}

/** The same for a text with whitespace or with malformed members. */
function splitSlowly(text: string, declared: DeclaredMembers, refuse: Refuse): Parts {
  const found: Found[] = []
  const whole = visitMembers(text, (start, end) => addTo(found, declared.nameAt(text, start, end), start, end))
  if (whole) return { found, others: Baggage.parse(without(found, text)) }
  refuse('truncated', field)
  const rest: string[] = []
  visitMembers(text, (start, end) => {
    if (declared.nameAt(text, start, end) === undefined) rest.push(text.slice(start, end))
  })
  // Members beyond the limits are not read: if the key's text occurs again, the member may be a duplicate.
  for (const place of found) if (isNamedAgain(text, place)) place.single = false
  return { found, others: Baggage.parse(copyText(rest.join(','))) }
}

function addTo(found: Found[], member: DeclaredMember | undefined, start: number, end: number): void {
  if (member === undefined) return
  const earlier = found.find((known) => known.member === member)
  if (earlier !== undefined) earlier.single = false
  found.push({ member, start, end, first: earlier === undefined, single: earlier === undefined })
}

function isNamedAgain(text: string, { member: { key }, start, end }: Found): boolean {
  return text.indexOf(key) < start || text.includes(key, end)
}

/** The list without these members, with as few cuts as possible. */
function without(found: readonly Found[], text: string): string {
  let rest: string | undefined
  let from = 0
  for (const { start, end } of found) {
    if (start > from) rest = joined(rest, text.slice(from, start - 1))
    from = end + 1
  }
  const others = from <= text.length ? joined(rest, text.slice(from)) : (rest ?? '')
  return found.length === 0 ? text : copyText(others)
}

function joined(list: string | undefined, more: string): string {
  return list === undefined ? more : `${list},${more}`
}

function takeAll(context: LogicalContext, text: string, found: readonly Found[], refuse: Refuse): LogicalContext {
  let taken = context
  for (const { member, start, end, first, single } of found) {
    if (single) taken = member.take(taken, text, start, end, refuse)
    else if (first) refuse('duplicate', member.field)
  }
  return taken
}

function writeAll(context: LogicalContext, declared: DeclaredMembers, destination: Destination): string[] {
  const texts: string[] = []
  for (const member of declared.list) {
    const text = mayInject(destination, member.variable) ? member.write(context, destination.refuse) : undefined
    if (text !== undefined) texts.push(text)
  }
  return texts
}

/** The declared members first, so that the limits drop others; then the others that are not declared. */
function withOthers(texts: string[], others: Baggage, declared: DeclaredMembers, refuse: Refuse): string {
  for (const reason of others.refusals) refuse(reason, field)
  const list = texts.length === 0 ? others.asItCame : others.plainText
  const whole = list === undefined || declared.areIn(others) ? undefined : prepend(texts, list, others.size)
  if (whole !== undefined) return whole
  return fit([...texts, ...others.members.filter(({ key }) => !declared.has(key)).map(formatMember)], refuse)
}

/**
 * Without the entries of Sentry if they are of another trace, for example of the caller's before a restart: a reader would
 * apply that trace's sampling decision to this one. Without entries, it takes `sentry-trace` alone.
 */
function ofTrace(others: Baggage | undefined, context: LogicalContext): Baggage | undefined {
  if (others === undefined || others.asItCame?.includes(sentryPrefix) === false) return others
  const traceId = others.get(`${sentryPrefix}trace_id`)
  const trace = traceId === undefined ? undefined : traceOf(context)
  if (trace === undefined || trace.traceId === traceId) return others
  const keys = others.members.map(({ key }) => key).filter((key) => key.startsWith(sentryPrefix))
  return keys.reduce((rest, key) => rest.delete(key), others)
}

function fit(texts: readonly string[], refuse: Refuse): string {
  const { text, truncated } = fitMembers(texts)
  if (truncated) refuse('truncated', field)
  return text
}
