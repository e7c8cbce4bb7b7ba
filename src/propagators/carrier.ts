/** Text fields by name, as a message carries them. Names are asked for in lower case. */
export interface Carrier {
  /** The field's text; the texts of several lines of one name joined by `, `, as HTTP says. RFC 9110, 5.3 */
  get(name: string): string | undefined
  has(name: string): boolean
  set(name: string, value: string): void
}

/** Headers as Node has them, or any object of that form: names in any case, several lines as an array. */
export type HeaderObject = Record<string, HeaderValue>
type HeaderValue = string | number | readonly string[] | undefined

/** A `Headers`, of the platform or of undici. */
export interface HeadersLike {
  get(name: string): string | null
  has(name: string): boolean
  set(name: string, value: string): void
}

/** Names and values in turn, as `rawHeaders` has them, or pairs of them. An empty array is one of the first kind. */
export type HeaderList = string[] | [name: string, value: string][]

/** What a carrier can be made of: `Headers`, a `Map`, `request.headers`, `request.rawHeaders` and their like. */
export type CarrierSource = Carrier | HeadersLike | Map<string, string | readonly string[]> | HeaderObject | HeaderList

/**
 * The source behind the carrier's methods; a carrier as it is. Names are found in any case, and lines whose names
 * differ in case only are lines of one field.
 */
export function carrierOf(source: CarrierSource): Carrier {
  if (Array.isArray(source)) return isFlat(source) ? new FlatCarrier(source) : new PairsCarrier(source)
  if (source instanceof Map) return new MapCarrier(source)
  if (!hasMethods(source)) return new HeaderObjectCarrier(source)
  return isHeaders(source) ? new HeadersCarrier(source) : source
}

/** The headers of an incoming Node message, whose names Node has put in lower case and whose lines it has joined. */
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

/** What was found before and one more value, as two lines are one. */
function join(found: string | undefined, value: HeaderValue): string | undefined {
  if (value === undefined) return found
  const text = typeof value === 'object' ? value.join(', ') : String(value)
  return found === undefined ? text : `${found}, ${text}`
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
