import { aFunction, type Checks, checkOptions, oneOf, show } from '../options.ts'
import { isPrivateAddress } from './private-address.ts'
import type { Peer } from './propagator.ts'

/** What is believed of a peer. */
export type Verdict = Pick<Peer, 'trace' | 'values'>

export interface TrustOptions<Request = unknown> {
  /**
   * Says of a socket's address whether its trace is continued and its values are taken: a compiled list of addresses,
   * such as `compile` of `@fastify/proxy-addr` makes. Default: nobody's values are.
   */
  trusts?: ((address: string) => boolean) | undefined
  /**
   * Decides alone, by the request, its verified TLS peer for one: a verdict, `true` for all, `false` for a new trace and
   * no values.
   */
  decide?: ((request: Request) => boolean | Verdict) | undefined
  /** The trace of a loopback, private, link-local or unique-local address that is not trusted. Default: `continue`. */
  privatePeers?: Peer['trace']
  /** The trace of everybody else. Default: `restart`. */
  otherPeers?: Peer['trace']
}

const traceWords = ['continue', 'restart', 'ignore'] as const
const aTraceWord = oneOf(...traceWords)
const checks: Checks = { trusts: aFunction, decide: aFunction, privatePeers: aTraceWord, otherPeers: aTraceWord }

const trusted: Verdict = Object.freeze({ trace: 'continue', values: true })
const stranger: Verdict = Object.freeze({ trace: 'restart', values: false })

/**
 * The rule by which peers are believed, by the address of the socket, which nobody can make up; never by
 * `X-Forwarded-For`, which anybody can. Without an address, on a Unix socket or after a hang-up, nobody is known.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type, or both `trusts` and `decide` are given; on a
 *   request, if `decide` gives no verdict, a promise of one for instance.
 */
export function compileTrust<Request = unknown>(
  options?: TrustOptions<Request>,
): (address: string | undefined, request: Request) => Verdict {
  checkOptions('compileTrust', options, checks)
  const { trusts, decide, privatePeers = 'continue', otherPeers = 'restart' } = options ?? {}
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
  const { trace, values } = (decided ?? {}) as Partial<Verdict>
  if (traceWords.includes(trace as never) && typeof values === 'boolean') return decided as Verdict
  throw new TypeError(`compileTrust: expected decide() to give a boolean or { trace, values }, got ${show(decided)}.`)
}
