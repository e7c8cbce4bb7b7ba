import { compile } from '@fastify/proxy-addr'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileRanges } from '../../src/propagators/ranges.ts'

const group = fc.integer({ min: 0, max: 0xffff }).map((value) => value.toString(16))
const v4 = fc.oneof(fc.ipV4(), fc.constantFrom('10.0.0.1', '10.1.2.3', '127.9.9.9', '192.168.0.7', '0.0.0.0'))
/** Without `::10.0.0.1`, which @fastify/proxy-addr reads as `::ffff:10.0.0.1`. */
const plainV6 = fc.ipV6().filter((text) => !text.includes('.'))
const v6 = fc.oneof(plainV6, fc.constantFrom('::', '::1', 'fe80::1', 'FD00::1', '2001:db8::1'))
const mapped = fc.oneof(
  v4.map((address) => `::ffff:${address}`),
  fc.tuple(group, group).map(([high, low]) => `::FFFF:${high}:${low}`),
)
const address = fc.oneof(v4, v6, mapped)
const scoped = fc
  .tuple(fc.constantFrom('fe80::1', 'fe80::2'), fc.constantFrom('%eth0', '%eth1', ''))
  .map((parts) => parts.join(''))
/** Close to each other, so that a prefix in the middle decides. */
const neighbour = fc
  .tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 255 }))
  .map(([b, c]) => `10.${b}.${c}.1`)
const mask = fc.integer({ min: 1, max: 32 }).map((length) => {
  const bits = ((2 ** length - 1) * 2 ** (32 - length)) >>> 0
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.')
})
const entry = fc.oneof(
  address,
  neighbour,
  scoped,
  fc.constantFrom('loopback', 'linklocal', 'uniquelocal'),
  fc.tuple(fc.oneof(address, neighbour), fc.integer({ min: 1, max: 130 })).map(([net, length]) => `${net}/${length}`),
  fc.tuple(fc.oneof(v4, neighbour), fc.oneof(mask, v4)).map(([net, bits]) => `${net}/${bits}`),
)

describe('compileRanges', () => {
  it.each<[name: string, range: string]>([
    ['a prefix that is too long', '10.0.0.0/33'],
    ['a mask with a gap', '10.0.0.0/255.0.255.0'],
    ['a mask of the other family', '10.0.0.0/::'],
    ['a mask for IPv6', '2001:db8::/255.0.0.0'],
    ['a range around the IPv4 addresses in IPv6', '::ffff:0:0/90'],
  ])('refuses %s', (_name, range) => {
    expect(() => compileRanges([range])).toThrow(RangeError)
  })

  it('separates the families, and the zones of a link', () => {
    const contains = compileRanges(['::/1', 'fe80::1%eth0'])

    expect(['10.0.0.1', '::ffff:10.0.0.1', 'fe80::1', 'fe80::1%eth1'].filter(contains)).toEqual([])
    expect(['::1', 'fe80::1%eth0'].filter(contains)).toEqual(['::1', 'fe80::1%eth0'])
  })

  it('contains the addresses that @fastify/proxy-addr trusts, and no others', () => {
    const lists = fc.array(entry, { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(lists, fc.array(fc.oneof(address, neighbour, scoped), { maxLength: 20 }), (list, addresses) => {
        const theirs = attempt(() => compile(list))
        const ours = attempt(() => compileRanges(list))
        // A range around all IPv4 addresses in IPv6 contains no address for them: it is refused here.
        if (list.some(isAroundMapped)) return
        expect(ours === undefined).toBe(theirs === undefined)
        for (const one of addresses) expect([one, ours?.(one)]).toEqual([one, theirs?.(one, 0)])
      }),
      { numRuns: 3000 },
    )
  })
})

function isAroundMapped(text: string): boolean {
  const [net = '', prefix = '128'] = text.split('/')
  return /^[0:]*:ffff:/i.test(net) && Number(prefix) < 97
}

function attempt<T>(run: () => T): T | undefined {
  try {
    return run()
  } catch {
    return undefined
  }
}
