/** `latin1Slice` exists on each Node buffer, but not in its types. It is twice as fast as `toString('latin1', …)`. */
type Latin1Buffer = Buffer & { latin1Slice(start: number, end: number): string }

/** Random bytes per call of the random source: one call costs as much as forty ids. */
const poolBytes = 4096
const pool: Buffer = Buffer.allocUnsafeSlow(poolBytes)
/** Each id keeps the part that it was cut from in memory; a part costs as much as two ids. */
const idsPerPart = 16

/** Text in parts, from which ids are cut: a cut is cheaper than a text of its own. */
class Parts {
  readonly #buffer: Latin1Buffer
  readonly #partLength: number
  readonly #refill: (buffer: Buffer) => void
  #nextPart: number
  #part = ''
  #next = 0

  constructor(length: number, partLength: number, refill: (buffer: Buffer) => void) {
    this.#buffer = Buffer.allocUnsafeSlow(length) as Latin1Buffer
    this.#partLength = partLength
    this.#refill = refill
    this.#nextPart = length
  }

  take(length: number): string {
    if (this.#next + length > this.#part.length) this.#cutPart()
    this.#next += length
    return this.#part.slice(this.#next - length, this.#next)
  }

  #cutPart(): void {
    if (this.#nextPart === this.#buffer.length) {
      // `node:crypto` is loaded with the first id: an import would load it with the package.
      process.getBuiltinModule('node:crypto').randomFillSync(pool)
      this.#refill(this.#buffer)
      this.#nextPart = 0
    }
    this.#part = this.#buffer.latin1Slice(this.#nextPart, this.#nextPart + this.#partLength)
    this.#nextPart += this.#partLength
    this.#next = 0
  }
}

const zero = 0x30
/** The pool as lower-case hex digits. */
const digits = new Parts(poolBytes * 2, idsPerPart * 16, (buffer) => void buffer.write(pool.toString('hex'), 'latin1'))

const uuidLength = 36
const dash = 0x2d
/** Whether a dash precedes the byte of this index. RFC 9562, section 4 */
const isDashed: readonly boolean[] = Array.from({ length: 16 }, (_, index) => [4, 6, 8, 10].includes(index))
const hexDigits: Buffer = Buffer.from('0123456789abcdef')
/** The pool as UUIDs. A cut is a flat text, which a concatenation would not be. */
const uuids = new Parts((poolBytes / 16) * uuidLength, idsPerPart * uuidLength, writeUuids)

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
  return uuids.take(uuidLength)
}

function take(length: 16 | 32): string {
  const id = digits.take(length)
  return id.charCodeAt(0) === zero && id.startsWith('0000000000000000') ? take(length) : id
}

function writeUuids(buffer: Buffer): void {
  let to = 0
  // An indexed loop: the pairs of an iterator would double the cost.
  for (let index = 0; index < pool.length; index++) {
    const byte = pool[index] as number
    const position = index % 16
    if (isDashed[position]) buffer[to++] = dash
    const marked = position === 6 ? (byte & 0x0f) | 0x40 : position === 8 ? (byte & 0x3f) | 0x80 : byte
    buffer[to++] = hexDigits[marked >> 4] as number
    buffer[to++] = hexDigits[marked & 0x0f] as number
  }
}
