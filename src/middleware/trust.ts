import { compile } from '@fastify/proxy-addr'
import { isIP, type Socket } from 'node:net'
import { aSyncFunction, callContained, reportOnce } from '../callbacks.ts'
import { anyOf, type Check, checkOptions, type Checks, isFunction, oneOf, show } from '../options.ts'
import type { Peer, Refuse, RefusalReason } from '../propagators/propagator.ts'
import { compileTrust, type TrustOptions, type Verdict } from '../propagators/trust.ts'
import { inboundRefuse } from '../tasks/lifecycle.ts'
import type { InboundMessage } from './inbound-options.ts'

/** Addresses, CIDR ranges, or the presets `loopback`, `linklocal` and `uniquelocal`, of the peer at the socket. */
export type TrustedAddresses = string | readonly string[]

/** Which peers are trusted: by address, by a function of the request, or by address with verdicts for the others. */
export type Trust =
  | TrustedAddresses
  | ((message: InboundMessage) => boolean | Verdict)
  | ({ readonly addresses?: TrustedAddresses } & Pick<TrustOptions, 'privatePeers' | 'otherPeers'>)

export const trustCheck: Check = anyOf(
  'addresses, a function of the request or an object of options',
  (value) => typeof value === 'string' || isFunction(value) || (typeof value === 'object' && value !== null),
)

const aTrace = oneOf('continue', 'restart', 'ignore')
const objectChecks: Checks = {
  addresses: anyOf('addresses', (value) => typeof value === 'string' || Array.isArray(value)),
  privatePeers: aTrace,
  otherPeers: aTrace,
}

/** The verdict of a `Trust` on the peer of a message. */
export interface TrustRule {
  readonly judge: (message: InboundMessage) => Verdict
  /** True if the verdict depends on the request, false if on its socket only. */
  readonly perRequest: boolean
}

/** @throws {TypeError} for an invalid address or range, and for an option that is unknown or of the wrong type. */
export function trustRule(trust: Trust = {}, owner: string = 'trust'): TrustRule {
  if (isFunction(trust)) {
    if (!aSyncFunction.accepts(trust)) {
      throw new TypeError(`${owner} expected ${aSyncFunction.expected}, got ${show(trust)}.`)
    }
    const verdictOn = compileTrust<InboundMessage>({ decide: trust })
    return { judge: (message) => verdictOn(undefined, message), perRequest: true }
  }
  const options = isAddresses(trust) ? { addresses: trust } : trust
  const { addresses, ...others } = checkOptions(owner, options, objectChecks)
  const verdictOn = compileTrust({ ...others, trusts: compileAddresses(addresses, owner) })
  return { judge: ({ socket }) => verdictOn(socket.remoteAddress, undefined), perRequest: false }
}

function isAddresses(trust: Exclude<Trust, (message: never) => unknown>): trust is TrustedAddresses {
  return typeof trust === 'string' || Array.isArray(trust)
}

function compileAddresses(
  addresses: TrustedAddresses | undefined,
  owner: string,
): ((address: string) => boolean) | undefined {
  if (addresses === undefined) return undefined
  const trusts = compiled(addresses, owner)
  return (address) => trusts(address, 0)
}

function compiled(addresses: TrustedAddresses, owner: string): ReturnType<typeof compile> {
  const list = typeof addresses === 'string' ? [addresses] : [...addresses]
  try {
    // The parser of `compile` takes 010.0.0.1 for 8.0.0.1, and 127.1 or 0x7f000001 for an address.
    if (!list.every(isUnambiguous)) throw new TypeError('An address is not in its usual form.')
    return compile(list)
  } catch (cause) {
    throw new TypeError(
      `${owner} expected addresses, ranges such as '10.0.0.0/8', or 'loopback', 'linklocal', 'uniquelocal', ` +
        `got ${show(addresses)}.`,
      { cause },
    )
  }
}

const presets: readonly unknown[] = ['loopback', 'linklocal', 'uniquelocal']

/** Whether an entry is a preset, or an address in the one form that every parser reads alike, with a prefix or a mask. */
function isUnambiguous(entry: unknown): boolean {
  if (presets.includes(entry)) return true
  if (typeof entry !== 'string') return false
  const [address = '', prefix, ...rest] = entry.split('/')
  const isPrefix = prefix === undefined || /^\d{1,3}$/.test(prefix) || isIP(prefix) !== 0
  return isIP(address) !== 0 && isPrefix && rest.length === 0
}

/** The number of refusals of each reason. */
export type RefusalCounters = Record<RefusalReason, number>

/** A value or an identity that a peer sent and that was refused. */
export interface Refusal {
  reason: RefusalReason
  /** The header, or the header and its member. */
  field: string
  /** The peer's address, or empty. */
  address: string
  /** What to change if the peer belongs to you. */
  hint: string
}

/** How many networks are remembered as reported. Refusals from further networks are only counted. */
const maxNetworks = 1000

/** Decides which peers are trusted, once per socket, and counts what is refused. */
export class PeerWatch {
  readonly counters: RefusalCounters = { refused: 0, malformed: 0, duplicate: 0, truncated: 0 }
  readonly #rule: TrustRule
  readonly #onRefusal: (refusal: Refusal) => unknown
  /** A socket has its peer under this key: a `WeakMap` costs the garbage collector more. */
  readonly #peerKey = Symbol('logical-context.peer')
  readonly #reported = new Set<string>()

  constructor(rule: TrustRule, onRefusal: (refusal: Refusal) => unknown) {
    this.#rule = rule
    this.#onRefusal = onRefusal
  }

  judge(message: InboundMessage): Peer {
    const socket = message.socket as Socket & Record<symbol, Peer | undefined>
    const known = this.#rule.perRequest ? undefined : socket[this.#peerKey]
    if (known !== undefined) return known
    const { trace, values } = this.#verdictOn(message)
    const peer = new SocketPeer(this, socket.remoteAddress ?? '', trace, values)
    socket[this.#peerKey] = peer
    return peer
  }

  /** A `trust` function that fails must not end the server: its peer is a stranger. */
  #verdictOn(message: InboundMessage): Verdict {
    try {
      return this.#rule.judge(message)
    } catch (error) {
      const address = message.socket.remoteAddress ?? ''
      reportOnce(this.#rule, "the option 'trust'", error)
      this.count('refused', 'trust', address, `the option 'trust' failed: ${show(error)}`)
      return { trace: 'restart', values: false }
    }
  }

  /** @internal */
  count(reason: RefusalReason, field: string, address: string, hint: string = hints[reason]): void {
    this.counters[reason]++
    if (inboundRefuse.hasSubscribers) inboundRefuse.publish({ reason, field })
    const network = `${reason} ${networkOf(address)}`
    if (this.#reported.has(network) || this.#reported.size >= maxNetworks) return
    this.#reported.add(network)
    callContained("the option 'onRefusal'", this.#onRefusal, { reason, field, address, hint })
  }
}

/** The verdict on a socket. Most sockets have nothing to refuse, so `refuse` is created when it is read. */
class SocketPeer implements Peer {
  readonly trace: Peer['trace']
  readonly values: boolean
  readonly #watch: PeerWatch
  readonly #address: string

  constructor(watch: PeerWatch, address: string, trace: Peer['trace'], values: boolean) {
    this.#watch = watch
    this.#address = address
    this.trace = trace
    this.values = values
  }

  get refuse(): Refuse {
    return (reason, field) => this.#watch.count(reason, field, this.#address)
  }
}

const hints: Readonly<Record<RefusalReason, string>> = {
  refused: "list the peer's address in the option 'trust' if it may set values",
  malformed: 'the peer does not keep to the format of the header',
  duplicate: 'the peer, or a proxy before it, sends the header twice',
  truncated: 'the peer sends more than the header may hold',
}

/** The /24 of an IPv4 address, the /64 of an IPv6 address. */
function networkOf(address: string): string {
  // Also of an IPv4 address in an IPv6 one: `::ffff:10.0.0.1`.
  if (address.includes('.')) return address.slice(0, address.lastIndexOf('.'))
  const [start = '', end = ''] = address.split('::')
  const groups = start.split(':')
  // `::` is a run of zeros: the first four groups can be in it, or after it.
  if (address.includes('::'))
    groups.push(...Array(8 - groups.length - end.split(':').length).fill('0'), ...end.split(':'))
  return groups
    .slice(0, 4)
    .map((group) => group || '0')
    .join(':')
}
