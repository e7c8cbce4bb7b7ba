import { describe, expect, it } from 'vitest'
import { newUuid } from '../../src/variables/ids.ts'

describe('newUuid', () => {
  const uuids = Array.from({ length: 2_000 }, newUuid)

  it('returns UUIDs of version 4, across the pool of randomness', () => {
    const other = uuids.filter((uuid) => !/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/.test(uuid))

    expect(other).toEqual([])
  })

  it('returns another one each time', () => {
    expect(new Set(uuids).size).toBe(2_000)
  })

  it.each([...Array(36).keys()].filter((place) => ![8, 13, 14, 18, 19, 23].includes(place)))(
    'has any digit at place %i',
    (place) => {
      expect(new Set(uuids.map((uuid) => uuid[place])).size).toBe(16)
    },
  )

  it('has all four variants of RFC 9562 at place 19', () => {
    expect(new Set(uuids.map((uuid) => uuid[19]))).toEqual(new Set(['8', '9', 'a', 'b']))
  })
})
