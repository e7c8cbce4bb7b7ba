import { type AnyContextVar, ContextVar } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { isFunction, show } from '../options.ts'
import { encodeBaggageText } from '../variables/baggage-entry.ts'
import { isToken, parseMember } from '../variables/baggage-grammar.ts'
import { percentDecode } from '../variables/percent.ts'
import { attempt } from './attempt.ts'
import type { Refuse } from './propagator.ts'

/** How a member's text becomes a variable's value, and back. */
export interface BaggageCodec<T> {
  variable: ContextVar<T, unknown>
  /** Gives `undefined`, or throws, for a text that is not to be taken. */
  decode: (text: string) => T | undefined
  /** Gives `undefined` for a value that is not to be sent. */
  encode: (value: T) => string | undefined
}

/** A member of the `baggage` header that is a variable. */
export interface DeclaredMember {
  readonly key: string
  readonly variable: AnyContextVar
  /** `context` with the value of the member between two places of a header. */
  take(context: LogicalContext, header: string, start: number, end: number, refuse: Refuse): LogicalContext
  /** The member as it goes out, or undefined if there is none. */
  write(context: LogicalContext, refuse: Refuse): string | undefined
  /** What the member is called in a reason. */
  readonly field: string
}

/** @throws {TypeError} if the key is no token, there is no variable or a codec is incomplete, or it is sensitive. */
export function declareMember(key: string, declaration: unknown): DeclaredMember {
  if (!isToken(key)) throw new TypeError(`w3cBaggage: expected a member's key, a token, got ${show(key)}.`)
  const { variable, decode, encode } = codecOf(key, declaration)
  if (variable.sensitive) {
    throw new TypeError(
      `w3cBaggage: expected member '${key}' to be a variable that may go out, got the sensitive '${variable.name}'.`,
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
      const value = member ? attempt(() => decode(percentDecode(member.value))) : undefined
      if (value !== undefined) return context.with(variable, value)
      refuse(member ? 'refused' : 'malformed', field)
      return context
    },
    write(context, refuse) {
      const value = context.has(variable) ? context.get(variable) : undefined
      if (value === undefined) return undefined
      const text = attempt(() => encode(value) ?? null)
      if (typeof text === 'string') return `${key}=${encodeBaggageText(text)}`
      if (text !== null) refuse('malformed', field)
      return undefined
    },
  }
}

function codecOf(key: string, declaration: unknown): BaggageCodec<unknown> {
  if (declaration instanceof ContextVar) return { variable: declaration, decode: asItIs, encode: textOnly }
  const codec = declaration as Partial<BaggageCodec<unknown>> | null | undefined
  if (codec?.variable instanceof ContextVar && isFunction(codec.decode) && isFunction(codec.encode)) {
    return codec as BaggageCodec<unknown>
  }
  throw new TypeError(
    `w3cBaggage: expected member '${key}' to be a ContextVar or { variable, decode, encode }, got ${show(declaration)}.`,
  )
}

function asItIs(text: string): string {
  return text
}

function textOnly(value: unknown): string {
  if (typeof value === 'string') return value
  throw new TypeError('Only a string goes out without an encode().')
}
