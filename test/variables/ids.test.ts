import { describe, expect, it, vi } from 'vitest'
import { newSpanId, newTraceId } from '../../src/variables/ids.ts'

let fills = 0

// The first bytes of the random source are all zero.
vi.mock(import('node:crypto'), async (importOriginal) => {
  const crypto = await importOriginal()
  const randomFillSync = ((buffer: Buffer) => (fills++ === 0 ? buffer.fill(0) : crypto.randomFillSync(buffer))) as never
  return { ...crypto, randomFillSync }
})

describe('newTraceId', () => {
  it('is never all zero, for any random bytes', () => {
    expect(newTraceId()).toMatch(/[^0]/)
    expect(fills).toBe(2)
  })

  it('returns 32 lower-case hex digits, other ones each time, across the pool of randomness', () => {
    const ids = Array.from({ length: 2000 }, newTraceId)

    expect(ids.every((id) => /^[0-9a-f]{32}$/.test(id))).toBe(true)
    expect(new Set(ids).size).toBe(2000)
  })

  it('never looks like an id of 64 bits with zeros in front', () => {
    expect(Array.from({ length: 2000 }, newTraceId).some((id) => id.startsWith('0'.repeat(16)))).toBe(false)
  })
})

describe('newSpanId', () => {
  it('returns 16 lower-case hex digits, other ones each time, between trace ids too', () => {
    const ids = Array.from({ length: 2000 }, (_, i) => (i % 3 === 0 ? newTraceId().slice(16) : newSpanId()))

    expect(ids.every((id) => /^[0-9a-f]{16}$/.test(id))).toBe(true)
    expect(new Set(ids).size).toBe(2000)
  })
})
