import type { Verdict } from 'logical-context/propagators'
import { describe, expect, it } from 'vitest'
import { compileRanges } from '../../src/propagators/ranges.ts'
import { compileTrust, isPrivateAddress, type TrustOptions } from '../../src/propagators/trust.ts'

const everything: Verdict = { trace: 'continue', values: true }
const traceOnly: Verdict = { trace: 'continue', values: false }
const restarted: Verdict = { trace: 'restart', values: false }

const trusting = (...addresses: string[]): TrustOptions => ({ trusts: compileRanges(addresses) })

describe('isPrivateAddress', () => {
  it.each<[name: string, address: string]>([
    ['RFC 1122, 3.2.1.3 loopback', '127.0.0.1'],
    ['RFC 1122, 3.2.1.3 all of loopback', '127.255.255.254'],
    ['RFC 1918, 3 10/8, first', '10.0.0.0'],
    ['RFC 1918, 3 10/8, last', '10.255.255.255'],
    ['RFC 1918, 3 172.16/12, first', '172.16.0.0'],
    ['RFC 1918, 3 172.16/12, last', '172.31.255.255'],
    ['RFC 1918, 3 192.168/16, first', '192.168.0.0'],
    ['RFC 1918, 3 192.168/16, last', '192.168.255.255'],
    ['RFC 3927, 2.1 link-local', '169.254.1.1'],
    ['RFC 6598, 7 100.64/10, first', '100.64.0.0'],
    ['RFC 6598, 7 100.64/10, last', '100.127.255.255'],
    ['RFC 6598, 7 100.64/10, mapped', '::ffff:100.100.1.1'],
    ['RFC 4291, 2.5.3 loopback', '::1'],
    ['RFC 4291, 2.5.5.2 loopback, mapped', '::ffff:127.0.0.1'],
    ['RFC 4291, 2.5.5.2 10/8, mapped', '::ffff:10.1.2.3'],
    ['RFC 4291, 2.5.5.2 mapped in upper case', '::FFFF:192.168.1.1'],
    ['RFC 4193, 3.1 unique-local, fc00::/7, first', 'fc00::'],
    ['RFC 4193, 3.1 unique-local, fd', 'fd12:3456:789a::1'],
    ['RFC 4193, 3.1 unique-local, last', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['RFC 4193, 3.1 unique-local in upper case', 'FD00::1'],
    ['RFC 4291, 2.5.6 link-local, fe80::/10, first', 'fe80::1'],
    ['RFC 4291, 2.5.6 link-local, last', 'febf::1'],
    ['RFC 4007, 11 link-local with a zone', 'fe80::1%eth0'],
  ])('%s: %s', (_name, address) => {
    expect(isPrivateAddress(address)).toBe(true)
  })

  it.each<[name: string, address: string]>([
    ['a public address', '8.8.8.8'],
    ['below 10/8', '9.255.255.255'],
    ['above 10/8', '11.0.0.0'],
    ['below 127/8', '126.255.255.255'],
    ['above 127/8', '128.0.0.1'],
    ['below 172.16/12', '172.15.255.255'],
    ['above 172.16/12', '172.32.0.0'],
    ['below 192.168/16', '192.167.255.255'],
    ['above 192.168/16', '192.169.0.0'],
    ['below 169.254/16', '169.253.255.255'],
    ['above 169.254/16', '169.255.0.0'],
    ['the second byte of 192.168/16 in another network', '193.168.0.1'],
    ['the second byte of 169.254/16 in another network', '168.254.0.1'],
    ['RFC 5737 addresses for examples', '192.0.2.1'],
    ['any address', '0.0.0.0'],
    ['a public address, mapped', '::ffff:8.8.8.8'],
    ['a private address with the prefix in another place', '::10.0.0.1'],
    ['a private address in NAT64', '64:ff9b::10.0.0.1'],
    ['a public address of IPv6', '2001:db8::1'],
    ['the unspecified address', '::'],
    ['below fc00::/7', 'fbff::1'],
    ['above fc00::/7', 'fe00::1'],
    ['above fe80::/10', 'fec0::1'],
    ['fc with zeros in front', 'fc::1'],
    ['fd with zeros in front', 'fd::1'],
    ['fe8 with a zero in front', 'fe8::1'],
    ['multicast', 'ff02::1'],
    ['loopback in another form, which is not read', '0:0:0:0:0:0:0:1'],
    ['zeros in front, which some read as octal', '010.0.0.1'],
    ['a byte too many', '10.0.0.0.1'],
    ['a byte too few', '10.0.1'],
    ['a number', '2130706433'],
    ['hex', '0x7f.0.0.1'],
    ['a byte over 255', '10.0.0.256'],
    ['a negative byte', '10.0.0.-1'],
    ['a blank', '10.0.0. 1'],
    ['an empty byte', '10..0.1'],
    ['a name that looks like one', '10.0.0.1.example.com'],
    ['localhost', 'localhost'],
    ['nothing', ''],
    ['a list, as X-Forwarded-For has it', '127.0.0.1, 8.8.8.8'],
  ])('is not %s: %s', (_name, address) => {
    expect(isPrivateAddress(address)).toBe(false)
  })
})

describe('compileTrust', () => {
  it.each<[name: string, options: TrustOptions | undefined, address: string | undefined, verdict: Verdict]>([
    ['by default, loopback', undefined, '127.0.0.1', traceOnly],
    ['by default, a private address', undefined, '10.1.2.3', traceOnly],
    ['by default, a private address on a dual-stack socket', undefined, '::ffff:10.1.2.3', traceOnly],
    ['by default, a unique-local address', undefined, 'fd00::1', traceOnly],
    ['by default, a link-local address', undefined, 'fe80::1%eth0', traceOnly],
    ['by default, a public address', undefined, '203.0.113.9', restarted],
    ['by default, a socket without an address', undefined, undefined, restarted],
    ['by empty options', {}, '203.0.113.9', restarted],
    ['an address that is listed', trusting('203.0.113.0/24'), '203.0.113.9', everything],
    ['an address next to the list', trusting('203.0.113.0/24'), '203.0.114.9', restarted],
    ['a listed address on a dual-stack socket', trusting('203.0.113.0/24'), '::ffff:203.0.113.9', everything],
    ['a private address that is not listed', trusting('10.0.0.0/8'), '192.168.1.1', traceOnly],
    ['a private address that is listed', trusting('10.0.0.0/8'), '10.9.9.9', everything],
    ['loopback by its preset', trusting('loopback'), '127.0.0.1', everything],
    ['loopback by its preset, IPv6', trusting('loopback'), '::1', everything],
    ['link-local by its preset', trusting('linklocal'), 'fe80::1', everything],
    ['unique-local by its preset', trusting('uniquelocal'), 'fd00::1', everything],
    ['10/8 by the preset of unique-local', trusting('uniquelocal'), '10.0.0.1', everything],
    ['a single address of IPv6', trusting('2001:db8::1'), '2001:db8::1', everything],
    ['no address with a list', trusting('203.0.113.0/24'), undefined, restarted],
    ['private peers that are restarted', { privatePeers: 'restart' }, '10.0.0.1', restarted],
    ['private peers that are ignored', { privatePeers: 'ignore' }, '10.0.0.1', { trace: 'ignore', values: false }],
    ['others that are ignored', { otherPeers: 'ignore' }, '203.0.113.9', { trace: 'ignore', values: false }],
    ['others that are continued', { otherPeers: 'continue' }, '203.0.113.9', traceOnly],
    ['private peers next to the others', { otherPeers: 'ignore' }, '10.0.0.1', traceOnly],
    ['a list that returns something else than a boolean', { trusts: () => 'yes' as never }, '203.0.113.9', restarted],
  ])('judges %s', (_name, options, address, verdict) => {
    expect(compileTrust(options)(address, undefined)).toEqual(verdict)
  })

  it.each<[name: string, decided: unknown, verdict: Verdict]>([
    ['true', true, everything],
    ['false', false, restarted],
    ['a verdict', { trace: 'ignore', values: false }, { trace: 'ignore', values: false }],
    ['the trace without values', { trace: 'continue', values: false }, traceOnly],
    ['values without the trace', { trace: 'restart', values: true }, { trace: 'restart', values: true }],
  ])('takes %s from decide()', (_name, decided, verdict) => {
    const judge = compileTrust({ decide: () => decided as Verdict })

    expect(judge('203.0.113.9', {})).toEqual(verdict)
    expect(judge(undefined, {})).toEqual(verdict)
  })

  it('hands the request to decide(), and nothing else', () => {
    const seen: unknown[][] = []
    const judge = compileTrust<string>({ decide: (...args) => seen.push(args) > 0 })

    judge('10.0.0.1', 'the request')

    expect(seen).toEqual([['the request']])
  })

  it.each<[name: string, decided: unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a promise, which would be true', Promise.resolve(false)],
    ['a word', 'continue'],
    ['a number', 1],
    ['an unknown verdict', { trace: 'accept', values: true }],
    ['half a verdict', { trace: 'continue' }],
    ['a verdict whose values are not a boolean', { trace: 'continue', values: 'all' }],
  ])('throws if decide() returns %s', (_name, decided) => {
    const judge = compileTrust({ decide: () => decided as Verdict })

    expect(() => judge('10.0.0.1', {})).toThrow(
      /^compileTrust: expected decide\(\) to return a boolean or \{ trace, values \}, got /,
    )
  })

  it('handles the rejection of a promise that decide() returns', async () => {
    const judge = compileTrust({ decide: () => Promise.reject(new Error('rejected')) as never })

    expect(() => judge('10.0.0.1', {})).toThrow(TypeError)
    // An unhandled rejection is emitted after the microtasks, and fails the run.
    await new Promise((resolve) => setImmediate(resolve))
  })

  it('throws at its creation for an async decide()', () => {
    expect(() => compileTrust({ decide: (async () => true) as never })).toThrow(
      new TypeError("compileTrust: option 'decide' expected a synchronous function, got [AsyncFunction: decide]."),
    )
  })

  it.each<[name: string, options: unknown, message: string]>([
    [
      'an unknown option',
      { hops: 1 },
      "compileTrust: unknown option 'hops', expected one of: trusts, decide, privatePeers, otherPeers.",
    ],
    [
      'a list that is not compiled',
      { trusts: ['10.0.0.0/8'] },
      "compileTrust: option 'trusts' expected a synchronous function, got [ '10.0.0.0/8' ].",
    ],
    [
      'an unknown verdict',
      { otherPeers: 'trust' },
      "compileTrust: option 'otherPeers' expected 'continue' or 'restart' or 'ignore', got 'trust'.",
    ],
    [
      'two ways to decide',
      { trusts: () => true, decide: () => true },
      "compileTrust: expected one of 'trusts' and 'decide', got both.",
    ],
  ])('throws for %s', (_name, options, message) => {
    expect(() => compileTrust(options as never)).toThrow(new TypeError(message))
  })

  it('returns the same verdict object for the same kind of peer: nothing is created per request', () => {
    const judge = compileTrust(trusting('203.0.113.0/24'))

    expect(judge('10.0.0.1', undefined)).toBe(judge('10.0.0.2', undefined))
    expect(judge('203.0.113.1', undefined)).toBe(judge('203.0.113.2', undefined))
    expect(judge('198.51.100.1', undefined)).toBe(judge(undefined, undefined))
  })
})
