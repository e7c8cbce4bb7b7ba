import { describe, expect, it, vi } from 'vitest'
import { newSpanId, newTraceId } from '../../src/variables/ids.ts'

describe('newTraceId', () => {
  it('is never all zero, for any random bytes', () => {
    const crypto = process.getBuiltinModule('node:crypto')
    const fill = vi.spyOn(crypto, 'randomFillSync').mockImplementationOnce((bytes) => (bytes as Buffer).fill(0))

    // The process has not read an id yet: this one fills the pool.
    expect(newTraceId()).toMatch(/[^0]/)
    expect(fill).toHaveBeenCalledTimes(2)
    fill.mockRestore()
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
