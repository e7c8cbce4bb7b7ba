import { type AnyContextVar, ContextVar } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { aSyncFunction, isPromise, reportOnce } from '../callbacks.ts'
import { checkArgument, isFunction, show } from '../options.ts'
import type { Baggage } from '../variables/baggage.ts'
import { encodeBaggageText, maxBaggageBytes, parseMember } from '../variables/baggage-grammar.ts'
import { isToken, trimOws } from '../variables/header-text.ts'
import { percentDecode } from '../variables/percent.ts'
import { attempt, type Refuse } from './propagator.ts'

const equalsSign = 0x3d

/** Converts between a member's text and a variable's value. */
export interface BaggageCodec<T> {
  variable: ContextVar<T, unknown>
  /** Returns the value, or `undefined` to refuse the text. If it throws, the text is refused too. */
  decode: (text: string) => T | undefined
  /** Returns the text, or `undefined` to write no member. */
  encode: (value: T) => string | undefined
}

/** A member of the `baggage` header that belongs to a variable. */
export interface DeclaredMember {
  readonly key: string
  readonly variable: AnyContextVar
  /** `context` with the value of the member between two positions of a header. */
  take(context: LogicalContext, header: string, start: number, end: number, refuse: Refuse): LogicalContext
  /** The member's text, or undefined if there is none. */
  write(context: LogicalContext, refuse: Refuse): string | undefined
  /** The member's name in a refusal. */
  readonly field: string
}

/** The members of `baggage` that belong to variables, and their positions in a header. */
export class DeclaredMembers {
  readonly list: readonly DeclaredMember[]
  readonly #byKey: ReadonlyMap<string, DeclaredMember>

  constructor(list: readonly DeclaredMember[]) {
    this.list = list
    this.#byKey = new Map(list.map((member) => [member.key, member]))
  }

  has(key: string): boolean {
    return this.#byKey.has(key)
  }

  /** Whether a list contains one of them. */
  areIn(list: Baggage): boolean {
    return !list.isWithout(this) && list.members.some(({ key }) => this.has(key))
  }

  /** The member whose key starts exactly at `start`. */
  keyAt(text: string, start: number, end: number): DeclaredMember | undefined {
    for (const member of this.list) if (isKeyAt(text, start, end, member.key)) return member
    return undefined
  }

  /** The same for a key that may have whitespace around it. */
  nameAt(text: string, start: number, end: number): DeclaredMember | undefined {
    let equals = start
    while (equals < end && text.charCodeAt(equals) !== equalsSign) equals++
    return this.#byKey.get(trimOws(text, start, equals))
  }
}

/** @throws {TypeError} if the key is not a token, the codec is incomplete, or the variable is sensitive. */
export function declareMember(key: string, declaration: unknown): DeclaredMember {
  if (!isToken(key)) throw new TypeError(`w3cBaggage: expected the key of a member to be a token, got ${show(key)}.`)
  const codec = codecOf(key, declaration)
  const { variable } = codec
  if (variable.sensitive) {
    throw new TypeError(
      `w3cBaggage: expected member '${key}' to be a variable that is not sensitive, got '${variable.name}'.`,
    )
  }
  const field = `baggage.${key}`

  return {
    key,
    variable,
    field,
    take(context, header, start, end, refuse) {
      if (context.has(variable)) return context
      const member = parseMember(header, start, end)
      const value = member ? attempt(() => sync(codec, 'decode', codec.decode(percentDecode(member.value)))) : undefined
      if (value !== undefined) return context.with(variable, value)
      refuse(member ? 'refused' : 'malformed', field)
      return context
    },
    write(context, refuse) {
      const value = context.has(variable) ? context.get(variable) : undefined
      if (value === undefined) return undefined
      const text = attempt(() => encodeWith(codec, value) ?? null)
      if (text === null) return undefined
      if (typeof text !== 'string') refuse('malformed', field)
      // Encoding never shortens a text, so a longer one is not encoded.
      else if (text.length > maxBaggageBytes) refuse('truncated', 'baggage')
      else return `${key}=${encodeBaggageText(text)}`
      return undefined
    },
  }
}

function codecOf(key: string, declaration: unknown): BaggageCodec<unknown> {
  if (declaration instanceof ContextVar) return { variable: declaration, decode: unchanged, encode: textOnly }
  const codec = declaration as Partial<BaggageCodec<unknown>> | null | undefined
  if (codec?.variable instanceof ContextVar && isFunction(codec.decode) && isFunction(codec.encode)) {
    checkArgument(`w3cBaggage, decode of member '${key}'`, aSyncFunction, codec.decode)
    checkArgument(`w3cBaggage, encode of member '${key}'`, aSyncFunction, codec.encode)
    return codec as BaggageCodec<unknown>
  }
  throw new TypeError(
    `w3cBaggage: expected member '${key}' to be a ContextVar or { variable, decode, encode }, got ${show(declaration)}.`,
  )
}

/** @throws what `encode` throws, after the first report of it. */
function encodeWith(codec: BaggageCodec<unknown>, value: unknown): string | undefined {
  try {
    return sync(codec, 'encode', codec.encode(value))
  } catch (error) {
    reportOnce(codec, `encode() of the variable '${codec.variable.name}' in w3cBaggage`, error)
    throw error
  }
}

/** @throws {TypeError} if a codec returned a promise. */
function sync<T>(codec: BaggageCodec<unknown>, method: string, result: T): T {
  if (!isPromise(result)) return result
  const error = new TypeError(`Expected a value, got a promise: ${show(result)}.`)
  reportOnce(codec, `${method}() of the variable '${codec.variable.name}' in w3cBaggage`, error)
  throw error
}

function unchanged(text: string): string {
  return text
}

function textOnly(value: unknown): string {
  if (typeof value === 'string') return value
  throw new TypeError('Expected a string: this member has no encode().')
}

function isKeyAt(text: string, start: number, end: number, key: string): boolean {
  const after = start + key.length
  return after < end && text.charCodeAt(after) === equalsSign && text.startsWith(key, start)
}
