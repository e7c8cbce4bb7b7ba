import { BlockList, isIP, isIPv4 } from 'node:net'
import { type Trust, trustRule } from '../../../src/middleware/trust.ts'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'

export const trust: FuzzTarget = {
  name: 'trust',
  seeds: [
    '10.0.0.0/8\n10.1.2.3',
    '192.168.1.0/24\n10.0.0.1\n10.0.0.1',
    '2001:db8::/32\n2001:db8::1',
    'loopback\n127.0.0.1',
    '::ffff:10.0.0.0/104\n10.1.1.1',
    '10.0.0.0/255.0.0.0\n10.9.9.9',
    '\n',
  ],
  tokens: [
    '\n',
    '/',
    '/8',
    '/33',
    '/-1',
    '/255.255.0.0',
    '10.',
    '0.0.0.0/0',
    '::/0',
    'loopback',
    'linklocal',
    'uniquelocal',
    ',',
    ' ',
  ],
  read: (input) => verdictOn(input),
  check(input) {
    const { addresses, address, verdict } = verdictOn(input)
    if (verdict === undefined) return
    if (verdict.values) ensureSame(verdict.trace, 'continue', 'continues the trace of whom it trusts')
    // One in eight: a list of Node is expensive.
    if (input.length % 8 !== 0) return
    const isListed = listed(addresses, address)
    if (isListed !== undefined) ensureSame(verdict.values, isListed, 'trusts the listed addresses, and no others')
  },
}

/** The last line is the address of a socket, those before it are what is trusted. */
function verdictOn(input: string) {
  const addresses = input.split('\n')
  const address = addresses.pop() ?? ''
  let rule
  try {
    rule = trustRule(addresses satisfies Trust)
  } catch (error) {
    ensure(error instanceof TypeError, 'refuses at registration, with a TypeError', String(error))
    return { addresses, address, verdict: undefined }
  }
  const socket = { remoteAddress: address } as never
  return { addresses, address, verdict: rule.decide({ headers: {}, socket }) }
}

const range = /^([\da-f.:]+)\/(\d{1,3})$/

/** What Node says of it; undefined for what it has no word for, a name or a netmask, or reads otherwise: two families. */
function listed(ranges: string[], address: string): boolean | undefined {
  const family = isIPv4(address) ? 'ipv4' : 'ipv6'
  const list = new BlockList()
  for (const text of ranges) {
    const [, net = text, prefix] = range.exec(text) ?? []
    if (!isPlain(net) || isIPv4(net) !== isIPv4(address)) return undefined
    if (prefix === undefined) list.addAddress(net, family)
    else list.addSubnet(net, Number(prefix), family)
  }
  return isPlain(address) ? list.check(address, family) : undefined
}

/** An address without a zone, and not an IPv4 one that is written as an IPv6 one. */
function isPlain(address: string): boolean {
  return isIP(address) !== 0 && !/%|^[0:]*(?:ffff:)?[^:]*\.|::ffff:/i.test(address.includes(':') ? address : '')
}
