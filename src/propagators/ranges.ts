import type { BlockList } from 'node:net'
import { isIP, nodeNet } from './hosts.ts'

/** Private addresses. RFC 1122, RFC 3927, RFC 4291, RFC 1918, RFC 4193 */
const presets: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1'],
  linklocal: ['169.254.0.0/16', 'fe80::/10'],
  uniquelocal: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
}

/** Whether an entry is a preset, or a range in the one form that every parser reads alike, with a prefix or a mask. */
export function isRange(entry: unknown): entry is string {
  if (typeof entry !== 'string') return false
  if (isPreset(entry)) return true
  const [address = '', prefix = '', ...rest] = entry.split('/')
  const isPrefix = /^\d{1,3}$/.test(prefix) || isIP(prefix) !== 0
  return isIP(address) !== 0 && !address.includes('%') && isPrefix && rest.length === 0
}

/**
 * Compiles addresses, ranges and presets to a function that returns whether an address is in one of them. An IPv4
 * address in an IPv6 one is the IPv4 address. An entry with a zone matches addresses of that zone only.
 *
 * @throws {RangeError} if a prefix is too long, or a mask is none.
 */
export function compileRanges(entries: readonly string[]): (address: string) => boolean {
  // One list for each family: in a list of both, an IPv6 range would contain IPv4 addresses.
  const lists = new Map<string, BlockList>()
  for (const entry of entries.flatMap((name) => (isPreset(name) ? presets[name]! : [name]))) {
    const [text = '', prefix] = entry.split('/')
    const { address, family, zone, mapped } = parseAddress(text)
    const key = `${family}%${zone}`
    const list = lists.get(key) ?? new (nodeNet().BlockList)()
    lists.set(key, list)
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, prefixLength(prefix, family) - (mapped ? mappedBits : 0), family)
  }
  return (text) => {
    if (isIP(text) === 0) return false
    const { address, family, zone } = parseAddress(text)
    return [`${family}%`, `${family}%${zone}`].some((key) => lists.get(key)?.check(address, family))
  }
}

function isPreset(entry: string): boolean {
  return Object.hasOwn(presets, entry)
}

interface Address {
  readonly address: string
  readonly family: 'ipv4' | 'ipv6'
  /** Of a link-local address, else empty. RFC 4007, 11 */
  readonly zone: string
  /** Whether it is an IPv4 address in an IPv6 one. RFC 4291, 2.5.5.2 */
  readonly mapped: boolean
}

/** Precedes an IPv4 address in an IPv6 one. */
const mappedPrefix = '::ffff:'
const mappedBits = 96

/** Parses an IP address. */
function parseAddress(text: string): Address {
  const [address = '', zone = ''] = text.split('%')
  if (isIP(address) === 4) return { address, family: 'ipv4', zone, mapped: false }
  const short = new (nodeNet().SocketAddress)({ address, family: 'ipv6' }).address
  const inner = short.startsWith(mappedPrefix) ? short.slice(mappedPrefix.length) : ''
  if (isIP(inner) === 4) return { address: inner, family: 'ipv4', zone: '', mapped: true }
  return { address: short, family: 'ipv6', zone, mapped: false }
}

/** @throws {RangeError} for a mask whose ones are not all at its start. */
function prefixLength(prefix: string, family: Address['family']): number {
  if (/^\d+$/.test(prefix)) return Number(prefix)
  const mask = family === 'ipv4' && isIP(prefix) === 4 ? numberOf(prefix) : 0
  // Ones in place of the zeros at the end: one less than a power of two.
  const rest = ~mask >>> 0
  if ((rest & (rest + 1)) === 0 && mask !== 0) return Math.clz32(rest)
  throw new RangeError(`expected a prefix or a mask, got ${prefix}`)
}

function numberOf(address: string): number {
  return address.split('.').reduce((number, byte) => number * 256 + Number(byte), 0)
}
