/** `latin1Slice` exists on each Node buffer, but not in its types. It is twice as fast as `toString('latin1', …)`. */
type Latin1Buffer = Buffer & { latin1Slice(start: number, end: number): string }

/** Random bytes per call of the random source: one call costs as much as forty ids. */
const poolBytes = 4096
const pool: Buffer = Buffer.allocUnsafeSlow(poolBytes)

/** The pool as lower-case hex digits. An id is a part of it. */
const digits: Latin1Buffer = Buffer.allocUnsafeSlow(poolBytes * 2) as Latin1Buffer
let nextDigit: number = digits.length
const zero = 0x30

const uuidLength = 36
/** A pool of UUIDs as text: a part of it is a flat string, which concatenation would not be. */
const uuids: Latin1Buffer = Buffer.allocUnsafeSlow((poolBytes / 16) * uuidLength) as Latin1Buffer
let nextUuid: number = uuids.length
const dash = 0x2d
/** Whether a dash precedes the byte of this index. RFC 9562, section 4 */
const isDashed: readonly boolean[] = Array.from({ length: 16 }, (_, index) => [4, 6, 8, 10].includes(index))
const hexDigits: Buffer = Buffer.from('0123456789abcdef')

/** 32 lower-case hex digits, not all zero. */
export function newTraceId(): string {
  return take(32)
}

/** 16 lower-case hex digits, not all zero. */
export function newSpanId(): string {
  return take(16)
}

/** A random UUID, version 4. RFC 9562, section 5.4 */
export function newUuid(): string {
  if (nextUuid === uuids.length) refillUuids()
  const text = uuids.latin1Slice(nextUuid, nextUuid + uuidLength)
  nextUuid += uuidLength
  return text
}

function take(length: 16 | 32): string {
  if (nextDigit + length > digits.length) refillDigits()
  const id = digits.latin1Slice(nextDigit, nextDigit + length)
  nextDigit += length
  return id.charCodeAt(0) === zero && id.startsWith('0000000000000000') ? take(length) : id
}

/** `node:crypto` is loaded with the first id: an import would load it with the package. */
function refill(): void {
  process.getBuiltinModule('node:crypto').randomFillSync(pool)
}

function refillDigits(): void {
  refill()
  digits.write(pool.toString('hex'), 'latin1')
  nextDigit = 0
}

function refillUuids(): void {
  refill()
  let to = 0
  // An indexed loop: the pairs of an iterator would double the cost.
  for (let index = 0; index < pool.length; index++) {
    const byte = pool[index] as number
    const position = index % 16
    if (isDashed[position]) uuids[to++] = dash
    const marked = position === 6 ? (byte & 0x0f) | 0x40 : position === 8 ? (byte & 0x3f) | 0x80 : byte
    uuids[to++] = hexDigits[marked >> 4] as number
    uuids[to++] = hexDigits[marked & 0x0f] as number
  }
  nextUuid = 0
}
