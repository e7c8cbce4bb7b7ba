import { randomFillSync } from 'node:crypto'
import type { Latin1Buffer } from './latin1-buffer.ts'

/** Bytes of randomness fetched at once: a call of the random source costs as much as forty ids. */
const poolBytes = 4096
const pool: Buffer = Buffer.allocUnsafeSlow(poolBytes)
/** The pool as lower-case hex digits, of which an id is a slice. */
const digits: Latin1Buffer = Buffer.allocUnsafeSlow(poolBytes * 2) as Latin1Buffer
let next: number = digits.length
const zero = 0x30

/** 32 lower-case hex digits, not all zero. */
export function newTraceId(): string {
  return take(32)
}

/** 16 lower-case hex digits, not all zero. */
export function newSpanId(): string {
  return take(16)
}

function take(length: 16 | 32): string {
  if (next + length > digits.length) refill()
  const id = digits.latin1Slice(next, next + length)
  next += length
  return id.charCodeAt(0) === zero && id.startsWith('0000000000000000') ? take(length) : id
}

function refill(): void {
  randomFillSync(pool)
  digits.write(pool.toString('hex'), 'latin1')
  next = 0
}
