import { compile } from '@fastify/proxy-addr'
import { isIP } from 'node:net'
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

/** What @fastify/proxy-addr trusts; undefined for what it refuses or reads otherwise, such as names. */
function listed(ranges: string[], address: string): boolean | undefined {
  if (![...ranges, address].every(isPlain)) return undefined
  try {
    return compile(ranges)(address, 0)
  } catch {
    return undefined
  }
}

/** An address without a zone, and not an IPv4 one that is written as an IPv6 one. */
function isPlain(text: string): boolean {
  const [address = ''] = text.split('/')
  return isIP(address) !== 0 && !/[%.]/.test(address.includes(':') ? address : '') && !/^[0:]*:ffff:/i.test(address)
}
