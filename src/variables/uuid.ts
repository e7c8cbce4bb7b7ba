import { randomFillSync } from 'node:crypto'
import type { Latin1Buffer } from './latin1-buffer.ts'

/** How many are made at once: a call of the random source costs as much as all of them. */
const poolSize = 256
const bytes: Buffer = Buffer.allocUnsafeSlow(16 * poolSize)
/** The UUIDs as text, of which one is a slice: a string in one piece, where joined parts would be put together later. */
const texts: Latin1Buffer = Buffer.allocUnsafeSlow(36 * poolSize) as Latin1Buffer
let next: number = texts.length

const dash = 0x2d
/** Whether a dash stands before the byte of this index. RFC 9562, section 4 */
const isDashed: readonly boolean[] = Array.from({ length: 16 }, (_, index) => [4, 6, 8, 10].includes(index))
const digits: Buffer = Buffer.from('0123456789abcdef')

/** A random UUID, of version 4. RFC 9562, section 5.4 */
export function newUuid(): string {
  if (next === texts.length) refill()
  const text = texts.latin1Slice(next, next + 36)
  next += 36
  return text
}

function refill(): void {
  randomFillSync(bytes)
  let to = 0
  // By hand: an iterator's pairs cost as much as all the rest.
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index] as number
    const place = index % 16
    if (isDashed[place]) texts[to++] = dash
    const marked = place === 6 ? (byte & 0x0f) | 0x40 : place === 8 ? (byte & 0x3f) | 0x80 : byte
    texts[to++] = digits[marked >> 4] as number
    texts[to++] = digits[marked & 0x0f] as number
  }
  next = 0
}
