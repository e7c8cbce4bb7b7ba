// The floor: the least code that reads and writes the formats and still refuses malformed headers.
const hexDigits = table('0123456789abcdef')
const tokens = table("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
const octets = range(0x21, 0x7e, '",;\\')
const stateOctets = range(0x20, 0x7e, '')
const [comma, equals] = [0x2c, 0x3d]

export interface Trace {
  readonly traceId: string
  readonly spanId: string
  readonly flags: string
}

export function readTraceparent(text: string | undefined): Trace | undefined {
  if (text === undefined || text.length !== 55 || !text.startsWith('00-') || text[35] !== '-' || text[52] !== '-') {
    return undefined
  }
  if (!all(text, 3, 35, hexDigits) || !all(text, 36, 52, hexDigits) || !all(text, 53, 55, hexDigits)) return undefined
  return { traceId: text.slice(3, 35), spanId: text.slice(36, 52), flags: text.slice(53) }
}

export function readB3(text: string | undefined): Trace | undefined {
  if (text === undefined || text.length !== 51 || text[32] !== '-' || text[49] !== '-') return undefined
  if (!all(text, 0, 32, hexDigits) || !all(text, 33, 49, hexDigits)) return undefined
  return { traceId: text.slice(0, 32), spanId: text.slice(33, 49), flags: text.slice(50) }
}

/** The text, if it is valid. */
export function readTracestate(text: string | undefined): string | undefined {
  if (text === undefined || text.length > 512) return undefined
  return all(text, 0, text.length, stateOctets) ? text : undefined
}

/** The text, if it is valid, and the value of one member. */
export function readBaggage(text: string | undefined, key: string): { text: string; value: string } | undefined {
  if (text === undefined || text.length > 8192) return undefined
  let value = ''
  for (let start = 0; start < text.length;) {
    let i = start
    while (i < text.length && tokens[text.charCodeAt(i)] === 1) i++
    if (i === start || text.charCodeAt(i) !== equals) return undefined
    const keyEnd = i++
    while (i < text.length && octets[text.charCodeAt(i)] === 1) i++
    if (i < text.length && text.charCodeAt(i) !== comma) return undefined
    if (keyEnd - start === key.length && text.startsWith(key, start)) value = text.slice(keyEnd + 1, i)
    start = i + 1
  }
  return { text, value: value.includes('%') ? decodeURIComponent(value) : value }
}

function all(text: string, start: number, end: number, allowed: Uint8Array): boolean {
  for (let i = start; i < end; i++) if (allowed[text.charCodeAt(i)] !== 1) return false
  return true
}

function table(characters: string): Uint8Array {
  const allowed = new Uint8Array(128)
  for (let i = 0; i < characters.length; i++) allowed[characters.charCodeAt(i)] = 1
  return allowed
}

function range(from: number, to: number, without: string): Uint8Array {
  const allowed = new Uint8Array(128).fill(1, from, to + 1)
  for (let i = 0; i < without.length; i++) allowed[without.charCodeAt(i)] = 0
  return allowed
}
