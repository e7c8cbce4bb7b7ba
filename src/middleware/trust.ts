import { compile } from '@fastify/proxy-addr'
import { anyOf, type Check, isFunction, show } from '../options.ts'
import { compileTrust, type TrustOptions, type Verdict } from '../propagators/trust.ts'
import type { InboundMessage } from './inbound.ts'

/** Addresses, CIDR ranges, or the presets `loopback`, `linklocal` and `uniquelocal`, of whoever holds the socket. */
export type TrustedAddresses = string | readonly string[]

/** Who is believed: by address, by a function of the request, or by address with other verdicts on the rest. */
export type Trust =
  | TrustedAddresses
  | ((message: InboundMessage) => boolean | Verdict)
  | ({ readonly addresses?: TrustedAddresses } & Pick<TrustOptions, 'privatePeers' | 'otherPeers'>)

export const aTrust: Check = anyOf(
  'addresses, a function of the request or an object of options',
  (value) => typeof value === 'string' || isFunction(value) || (typeof value === 'object' && value !== null),
)

/** A rule that `compileTrust` has made of a `Trust`. */
export interface TrustRule {
  readonly judge: (message: InboundMessage) => Verdict
  /** Whether each request is asked about, not each socket. */
  readonly perRequest: boolean
}

/** @throws {TypeError} for what is no address or range, and for options that are unknown or of the wrong type. */
export function trustRule(trust: Trust = {}): TrustRule {
  if (isFunction(trust)) {
    const verdictOn = compileTrust<InboundMessage>({ decide: trust })
    return { judge: (message) => verdictOn(undefined, message), perRequest: true }
  }
  const { addresses, ...others } = isAddresses(trust) ? { addresses: trust } : trust
  const verdictOn = compileTrust({ ...others, trusts: compileAddresses(addresses) })
  return { judge: ({ socket }) => verdictOn(socket.remoteAddress, undefined), perRequest: false }
}

function isAddresses(trust: Exclude<Trust, (message: never) => unknown>): trust is TrustedAddresses {
  return typeof trust === 'string' || Array.isArray(trust)
}

function compileAddresses(addresses: TrustedAddresses | undefined): ((address: string) => boolean) | undefined {
  if (addresses === undefined) return undefined
  const trusts = compiled(addresses)
  return (address) => trusts(address, 0)
}

function compiled(addresses: TrustedAddresses): ReturnType<typeof compile> {
  try {
    return compile(typeof addresses === 'string' ? addresses : [...addresses])
  } catch (cause) {
    throw new TypeError(
      "trust: expected addresses, ranges such as '10.0.0.0/8', or 'loopback', 'linklocal', 'uniquelocal', " +
        `got ${show(addresses)}.`,
      { cause },
    )
  }
}
