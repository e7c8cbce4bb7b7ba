import { show } from '../options.ts'
import { formatProperty, isBaggageOctet, isToken, parseProperties, type WireMember } from './baggage-grammar.ts'
import { percentDecode, percentEncode } from './percent.ts'

/** A key, or a key and its value. */
export type BaggageProperty = readonly [key: string, value?: string]

/** What baggage says under one key. */
export interface BaggageEntry {
  readonly value: string
  readonly properties: readonly BaggageProperty[]
}

/**
 * A member as it goes out.
 *
 * @throws {TypeError} if the key or that of a property is no token, or a value no string.
 */
export function encodeMember(key: string, value: string, properties: readonly BaggageProperty[]): WireMember {
  checkKey(key)
  checkValue(value)
  return { key, value: encodeBaggageText(value), properties: properties.map(encodeProperty).join('') }
}

/** A value, percent-encoded where it must be. */
export function encodeBaggageText(text: string): string {
  return percentEncode(text, isBaggageOctet)
}

/** A member as it is on the wire, as what it says. */
export function entryOf({ value, properties }: WireMember): BaggageEntry {
  const pairs = properties === '' ? [] : (parseProperties(properties.slice(1)) ?? [])
  return { value: percentDecode(value), properties: pairs.map(decodeProperty) }
}

export function decodeProperty([key, value]: BaggageProperty): BaggageProperty {
  return value === undefined ? [key] : [key, percentDecode(value)]
}

function encodeProperty([key, value]: BaggageProperty): string {
  checkKey(key)
  if (value === undefined) return formatProperty([key])
  checkValue(value)
  return formatProperty([key, encodeBaggageText(value)])
}

function checkKey(key: unknown): void {
  if (typeof key === 'string' && isToken(key)) return
  throw new TypeError(`Baggage: expected a key, a token as header names are, got ${show(key)}.`)
}

function checkValue(value: unknown): void {
  if (typeof value !== 'string') throw new TypeError(`Baggage: expected a value, a string, got ${show(value)}.`)
}
