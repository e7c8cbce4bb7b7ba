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

/** Alternating names and values, as in `rawHeaders`, or pairs. An empty array is of the first kind. */
export type HeaderList = string[] | [name: string, value: string][]

/** The sources of a carrier: `Headers`, a `Map`, `request.headers`, `request.rawHeaders` and similar objects. */
export type CarrierSource = Carrier | HeadersLike | Map<string, string | readonly string[]> | HeaderObject | HeaderList

/**
 * A carrier that reads from and writes to the source; a carrier is returned unchanged. Names match in any case, and
 * lines whose names differ only in case are lines of one field.
 */
export function carrierOf(source: CarrierSource): Carrier {
  if (Array.isArray(source)) return isFlat(source) ? new FlatCarrier(source) : new PairsCarrier(source)
  if (source instanceof Map) return new MapCarrier(source)
  if (!hasMethods(source)) return new HeaderObjectCarrier(source)
  return isHeaders(source) ? new HeadersCarrier(source) : source
}

/** The headers of an incoming Node message. Node has converted the names to lower case and joined the lines. */
export function incomingCarrier(headers: HeaderObject): Carrier {
  return new IncomingCarrier(headers)
}

abstract class SourceCarrier<Source> implements Carrier {
  protected readonly source: Source

  constructor(source: Source) {
    this.source = source
  }

  abstract get(name: string): string | undefined
  abstract set(name: string, value: string): void

  has(name: string): boolean {
    return this.get(name) !== undefined
  }
}

class IncomingCarrier extends SourceCarrier<HeaderObject> {
  get(name: string): string | undefined {
    return Object.hasOwn(this.source, name) ? join(undefined, this.source[name]) : undefined
  }

  set(name: string, value: string): void {
    this.source[name] = value
  }
}

class HeaderObjectCarrier extends IncomingCarrier {
  override get(name: string): string | undefined {
    let found: string | undefined
    for (const key in this.source) {
      if (isName(key, name) && Object.hasOwn(this.source, key)) found = join(found, this.source[key])
    }
    return found
  }
}

class MapCarrier extends SourceCarrier<Map<string, string | readonly string[]>> {
  get(name: string): string | undefined {
    let found: string | undefined
    for (const [key, value] of this.source) if (isName(key, name)) found = join(found, value)
    return found
  }

  set(name: string, value: string): void {
    this.source.set(name, value)
  }
}

class FlatCarrier extends SourceCarrier<string[]> {
  get(name: string): string | undefined {
    let found: string | undefined
    for (let i = 0; i < this.source.length; i += 2) {
      if (isName(this.source[i] as string, name)) found = join(found, this.source[i + 1])
    }
    return found
  }

  set(name: string, value: string): void {
    this.source.push(name, value)
  }
}

class PairsCarrier extends SourceCarrier<[name: string, value: string][]> {
  get(name: string): string | undefined {
    let found: string | undefined
    for (const [key, value] of this.source) if (isName(key, name)) found = join(found, value)
    return found
  }

  set(name: string, value: string): void {
    this.source.push([name, value])
  }
}

class HeadersCarrier extends SourceCarrier<HeadersLike> {
  get(name: string): string | undefined {
    return this.source.get(name) ?? undefined
  }

  set(name: string, value: string): void {
    this.source.set(name, value)
  }
}

/** The text of the earlier lines and one more line. */
function join(found: string | undefined, value: HeaderValue): string | undefined {
  const text = textOf(value)
  if (text === undefined) return found
  return found === undefined ? text : `${found}, ${text}`
}

/** Text and bytes as text, several lines joined, `StringValue` of an SQS attribute. Any other value is absent. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(value)
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()
  if (Array.isArray(value))
    return value.reduce<string | undefined>((text, line) => join(text, line as HeaderValue), undefined)
  if (typeof value !== 'object' || value === null) return undefined
  const text = attempt(() => (value as { StringValue?: unknown }).StringValue)
  return typeof text === 'string' ? text : undefined
}

function isName(key: string, name: string): boolean {
  return key === name || (key.length === name.length && key.toLowerCase() === name)
}

function isFlat(list: HeaderList): list is string[] {
  return !Array.isArray(list[0])
}

function hasMethods(source: Carrier | HeadersLike | HeaderObject): source is Carrier | HeadersLike {
  return typeof source.get === 'function' && typeof source.has === 'function' && typeof source.set === 'function'
}

/** Not `instanceof`: undici has a class of its own. */
function isHeaders(source: Carrier | HeadersLike): source is HeadersLike {
  return (source as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === 'Headers'
}
