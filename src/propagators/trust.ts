import { aSyncFunction, isPromise } from '../callbacks.ts'
import { type Checks, checkOptions, oneOf, show } from '../options.ts'
import type { Peer } from './propagator.ts'

/** What is accepted from a peer. */
export type Verdict = Pick<Peer, 'trace' | 'values'>

export interface TrustOptions<Request = unknown> {
  /**
   * Whether a socket's address is trusted: its trace is continued, and its values are accepted. For example a list of
   * addresses, such as a `BlockList` of `node:net`. Default: no address is trusted.
   */
  trusts?: ((address: string) => boolean) | undefined
  /**
   * Decides by the request, for example by its verified TLS peer: a verdict, `true` for everything, `false` for a new
   * trace and no values.
   */
  decide?: ((request: Request) => boolean | Verdict) | undefined
  /** For loopback, private, link-local and unique-local addresses that are not trusted. Default: `continue`. */
  privatePeers?: Peer['trace']
  /** For all other addresses. Default: `restart`. */
  otherPeers?: Peer['trace']
}

const traceWords = ['continue', 'restart', 'ignore'] as const
const aTraceWord = oneOf(...traceWords)
const checks: Checks = {
  trusts: aSyncFunction,
  decide: aSyncFunction,
  privatePeers: aTraceWord,
  otherPeers: aTraceWord,
}

export const trusted: Verdict = Object.freeze({ trace: 'continue', values: true })
const stranger: Verdict = Object.freeze({ trace: 'restart', values: false })

/**
 * The rule for what is accepted from a peer: by the address of the socket, which a client cannot choose, never by
 * `X-Forwarded-For`, which it can. A peer without an address is not trusted: a Unix socket, or a closed one.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type, or both `trusts` and `decide` are set; on a
 *   request, if `decide` returns no verdict, for example a promise.
 */
export function compileTrust<Request = unknown>(
  options?: TrustOptions<Request>,
): (address: string | undefined, request: Request) => Verdict {
  const {
    trusts,
    decide,
    privatePeers = 'continue',
    otherPeers = 'restart',
  } = checkOptions('compileTrust', options, checks)
  if (trusts !== undefined && decide !== undefined) {
    throw new TypeError("compileTrust: expected one of 'trusts' and 'decide', got both.")
  }
  if (decide !== undefined) return (_address, request) => checkVerdict(decide(request))
  const nearby: Verdict = Object.freeze({ trace: privatePeers, values: false })
  const others: Verdict = Object.freeze({ trace: otherPeers, values: false })

  return (address) => {
    if (address === undefined) return others
    if (trusts?.(address) === true) return trusted
    return isPrivateAddress(address) ? nearby : others
  }
}

function checkVerdict(decided: unknown): Verdict {
  if (typeof decided === 'boolean') return decided ? trusted : stranger
  isPromise(decided)
  const { trace, values } = (decided ?? {}) as Partial<Verdict>
  if (traceWords.includes(trace as never) && typeof values === 'boolean') return decided as Verdict
  throw new TypeError(`compileTrust: expected decide() to return a boolean or { trace, values }, got ${show(decided)}.`)
}

/** Precedes an IPv4 address in an IPv6 address, as on a dual-stack socket. RFC 4291, 2.5.5.2 */
const mappedPrefix = '::ffff:'

/**
 * Whether a socket's address is loopback, private, link-local or unique-local. Reads the form that Node writes; an
 * address in any other form is not private. RFC 1918, RFC 3927, RFC 4193, RFC 4291; RFC 6598, 100.64.0.0/10, which
 * carriers and EKS pods use
 */
export function isPrivateAddress(address: string): boolean {
  if (!address.includes(':')) return isPrivateV4(address)
  const lower = address.toLowerCase()
  if (lower === '::1') return true
  if (lower.startsWith(mappedPrefix)) return isPrivateV4(lower.slice(mappedPrefix.length))
  // The first group. If it is empty, the result is NaN, which shifts to zero.
  const first = Number.parseInt(lower, 16)
  return first >> 9 === 0xfc >> 1 || first >> 6 === 0xfe80 >> 6
}

function isPrivateV4(address: string): boolean {
  const parts = address.split('.', 5)
  if (parts.length !== 4 || !parts.every(isByte)) return false
  const first = Number(parts[0])
  const second = Number(parts[1])
  if (first === 10 || first === 127) return true
  if (first === 172) return second >= 16 && second <= 31
  if (first === 100) return second >= 64 && second <= 127
  return (first === 192 && second === 168) || (first === 169 && second === 254)
}

/** In decimal, without leading zeros, which some readers take as octal. */
function isByte(text: string): boolean {
  const value = Number(text)
  return value >= 0 && value <= 255 && String(value) === text
}
