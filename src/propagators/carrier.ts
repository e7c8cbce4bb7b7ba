import { isAnyArrayBuffer, isPromise } from 'node:util/types'
import { show } from '../options.ts'
import { attempt } from './propagator.ts'

/** The text fields of a message, by name. Callers pass names in lower case. */
export interface Carrier {
  /** The field's text. Several lines of one name are joined by `, `. RFC 9110, 5.3 */
  get(name: string): string | undefined
  has(name: string): boolean
  set(name: string, value: string): void
}

/** Headers in Node's form, or any object of that form: names in any case, several lines as an array. */
export type HeaderObject = Record<string, HeaderValue>
type HeaderValue = string | number | Uint8Array | readonly (string | Uint8Array)[] | null | undefined

/** A `Headers` object, of the platform or of undici. */
export interface HeadersLike {
  get(name: string): string | null
  has(name: string): boolean
  set(name: string, value: string): void
}

/** The headers of a message of NATS: the names are case-sensitive, and the text of a missing header is empty. */
export interface MessageHeadersLike extends Iterable<[name: string, values: string | readonly string[]]> {
  get(name: string): string
  has(name: string): boolean
  set(name: string, value: string): void
  keys(): Iterable<string>
}

/**
 * Alternating names and values, as in `rawHeaders`, pairs, or an object for each header, as in node-rdkafka. An empty
 * array is of the first kind.
 */
export type HeaderList = string[] | [name: string, value: string][] | HeaderObject[]

/**
 * The sources of a carrier: `Headers`, a `Map`, `request.headers`, `request.rawHeaders` and similar objects; the headers
 * and attributes of messages of Kafka, NATS, AMQP and SQS.
 */
export type CarrierSource =
  | Carrier
  | HeadersLike
  | MessageHeadersLike
  | Map<string, string | readonly string[]>
  | HeaderObject
  | HeaderList

/**
 * A carrier that reads from and writes to the source; a carrier is returned unchanged. Names match in any case, and
 * lines whose names differ only in case are lines of one field. Bytes are read as UTF-8. A name or a value that is not
 * text, or that throws when it is read, is absent. A message without headers is a carrier without fields, which cannot be
 * written.
 *
 * @throws {TypeError} if it is neither an object nor absent, or if it is a promise.
 */
export function carrierOf(source: CarrierSource | null | undefined): Carrier {
  if (source === null || source === undefined) return noFields
  if (typeof source !== 'object' || isPromise(source)) {
    throw new TypeError(`carrierOf: expected a carrier, got ${show(source)}.`)
  }
  if (Array.isArray(source)) return carrierOfList(source)
  if (source instanceof Map) return new EntriesCarrier(source)
  if (!hasMethods(source)) return new HeaderObjectCarrier(source)
  if (isHeaders(source)) return new HeadersCarrier(source)
  return isMessageHeaders(source) ? new EntriesCarrier(source) : source
}

function carrierOfList(list: HeaderList): Carrier {
  const first: unknown = list.find((item) => item !== null && item !== undefined)
  if (Array.isArray(first)) return new PairsCarrier(list as [name: string, value: string][])
  const isRecord = typeof first === 'object' && !isBytes(first)
  return isRecord ? new RecordsCarrier(list as HeaderObject[]) : new FlatCarrier(list as string[])
}

/** The headers of an incoming Node message. Node has converted the names to lower case and joined the lines. */
export function incomingCarrier(headers: HeaderObject): Carrier {
  return new IncomingCarrier(headers)
}

const noFields: Carrier = Object.freeze<Carrier>({
  get: () => undefined,
  has: () => false,
  set(name) {
    throw new TypeError(`carrierOf: expected a carrier to write '${name}' to, got none.`)
  },
})

/** Names and values come from other code: a getter or a proxy can throw. */
abstract class SourceCarrier<Source> implements Carrier {
  protected readonly source: Source

  constructor(source: Source) {
    this.source = source
  }

  get(name: string): string | undefined {
    try {
      return this.read(name)
    } catch {
      return undefined
    }
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  abstract set(name: string, value: string): void
  protected abstract read(name: string): string | undefined
}

class HeaderObjectCarrier extends SourceCarrier<HeaderObject> {
  protected read(name: string): string | undefined {
    return joinOwn(undefined, this.source, name)
  }

  set(name: string, value: string): void {
    this.source[name] = value
  }
}

class IncomingCarrier extends HeaderObjectCarrier {
  /** Node's own object has no getters. */
  override get(name: string): string | undefined {
    return Object.hasOwn(this.source, name) ? join(undefined, this.source[name]) : undefined
  }
}

class EntriesCarrier extends SourceCarrier<Map<string, string | readonly string[]> | MessageHeadersLike> {
  protected read(name: string): string | undefined {
    let found: string | undefined
    for (const [key, value] of this.source) if (isName(key, name)) found = join(found, value)
    return found
  }

  set(name: string, value: string): void {
    this.source.set(name, value)
  }
}

class FlatCarrier extends SourceCarrier<string[]> {
  protected read(name: string): string | undefined {
    let found: string | undefined
    for (let i = 0; i < this.source.length; i += 2) {
      if (isName(this.source[i], name)) found = join(found, this.source[i + 1])
    }
    return found
  }

  set(name: string, value: string): void {
    this.source.push(name, value)
  }
}

class PairsCarrier extends SourceCarrier<[name: string, value: string][]> {
  protected read(name: string): string | undefined {
    let found: string | undefined
    for (const pair of this.source) {
      if (Array.isArray(pair) && isName(pair[0], name)) found = join(found, pair[1])
    }
    return found
  }

  set(name: string, value: string): void {
    this.source.push([name, value])
  }
}

class RecordsCarrier extends SourceCarrier<HeaderObject[]> {
  protected read(name: string): string | undefined {
    return this.source.reduce<string | undefined>((found, record) => joinOwn(found, record, name), undefined)
  }

  set(name: string, value: string): void {
    this.source.push({ [name]: value })
  }
}

class HeadersCarrier extends SourceCarrier<HeadersLike> {
  protected read(name: string): string | undefined {
    return this.source.get(name) ?? undefined
  }

  set(name: string, value: string): void {
    this.source.set(name, value)
  }
}

/** The text of the earlier lines and the lines of a name in any case. */
function joinOwn(found: string | undefined, headers: HeaderObject, name: string): string | undefined {
  let text = found
  for (const key in headers) {
    if (isName(key, name) && Object.hasOwn(headers, key)) text = join(text, headers[key])
  }
  return text
}

/** The text of the earlier lines and one more line. */
function join(found: string | undefined, value: HeaderValue): string | undefined {
  const text = textOf(value)
  if (text === undefined) return found
  return found === undefined ? text : `${found}, ${text}`
}

/**
 * @internal Several lines joined; any other value as `lineOf`. An array in an array is absent: it could be nested
 * endlessly. So is a number, which could be a byte.
 */
export function textOf(value: unknown): string | undefined {
  if (!Array.isArray(value)) return typeof value === 'number' ? String(value) : lineOf(value)
  const lines = value.map(lineOf).filter((line) => line !== undefined)
  return lines.length === 0 ? undefined : lines.join(', ')
}

/** Text and bytes as text, and the text of an SQS attribute. Any other value is absent. */
function lineOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (isBytes(value)) return textOfBytes(value)
  if (typeof value !== 'object' || value === null) return undefined
  const text = attempt(() => (value as SqsAttributeLike).StringValue ?? (value as SqsAttributeLike).stringValue)
  return typeof text === 'string' ? text : undefined
}

/** Not `instanceof`: Jest runs tests in another realm, with classes of its own. */
function isBytes(value: unknown): value is ArrayBufferView | ArrayBuffer {
  return ArrayBuffer.isView(value) || isAnyArrayBuffer(value)
}

function textOfBytes(bytes: ArrayBufferView | ArrayBuffer): string {
  if (!ArrayBuffer.isView(bytes)) return Buffer.from(bytes).toString()
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
}

interface SqsAttributeLike {
  readonly StringValue?: unknown
  /** In the events of AWS Lambda. */
  readonly stringValue?: unknown
}

/** The names of Kafka's headers can be bytes. */
function isName(key: unknown, name: string): boolean {
  if (key === name) return true
  const text = lineOf(key)
  return text !== undefined && text.length === name.length && text.toLowerCase() === name
}

type WithMethods = Carrier | HeadersLike | MessageHeadersLike

function hasMethods(source: WithMethods | HeaderObject): source is WithMethods {
  return typeof source.get === 'function' && typeof source.has === 'function' && typeof source.set === 'function'
}

/** Not `instanceof`: undici has a class of its own. */
function isHeaders(source: WithMethods): source is HeadersLike {
  return (source as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === 'Headers'
}

/** `MsgHdrs` of NATS is an interface: its class is not exported. */
function isMessageHeaders(source: Carrier | MessageHeadersLike): source is MessageHeadersLike {
  return Symbol.iterator in source && typeof source.keys === 'function'
}
