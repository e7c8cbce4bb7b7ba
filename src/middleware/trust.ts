import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { aSyncFunction, callContained, ReportedKeys, reportOnce } from '../callbacks.ts'
import { anyOf, type Check, checkOptions, type Checks, isFunction, oneOf, show } from '../options.ts'
import { containsEveryHost, hostKeys, isEveryHost, isIP, type HostPattern, parseHost } from '../propagators/hosts.ts'
import type { Peer, Refuse, RefusalReason } from '../propagators/propagator.ts'
import { compileRanges, isRange } from '../propagators/ranges.ts'
import { compileTrust, trusted, type Verdict } from '../propagators/trust.ts'
import { inboundRefuse } from '../tasks/lifecycle.ts'
import type { InboundMessage } from './inbound-options.ts'
import type { Log } from './log.ts'

/**
 * Hosts, in the syntax of the clients' option `values`: addresses, ranges such as `10.0.0.0/8`, `localhost`, `loopback`,
 * `linklocal` and `uniquelocal` are addresses of the peer's socket. Other names, such as `api.example.com`,
 * `.example.com` and `*.example.com`, are DNS names of the certificate of a TLS peer that the server verified.
 */
export type TrustedAddresses = string | readonly string[]

/** Which peers are trusted: by address, by a function of the request, or by address with verdicts for the others. */
export type Trust = TrustedAddresses | ((message: InboundMessage) => boolean | Verdict) | TrustByAddress

/** The addresses of the peers that may set values, and what holds for private ones. */
export interface TrustByAddress {
  /** The peers that may set values: a host, or a list of hosts. Default: none. */
  readonly addresses?: TrustedAddresses
  /** For loopback, private, link-local and unique-local addresses that are not listed. Default: `continue`. */
  readonly privatePeers?: Peer['trace']
  /** For all other addresses. Default: `restart`. */
  readonly otherPeers?: Peer['trace']
}

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
  readonly decide: (message: InboundMessage) => Verdict
  /** True if the verdict depends on the request, false if on its socket only. */
  readonly perRequest: boolean
}

/** @throws {TypeError} for an invalid host, for hosts that contain every client, and for an invalid option. */
export function trustRule(trust: Trust = {}, owner: string = 'trust'): TrustRule {
  if (isFunction(trust)) {
    if (!aSyncFunction.accepts(trust)) {
      throw new TypeError(`${owner} expected ${aSyncFunction.expected}, got ${show(trust)}.`)
    }
    const verdictOn = compileTrust<InboundMessage>({ decide: trust })
    return { decide: (message) => verdictOn(undefined, message), perRequest: true }
  }
  const options = isAddresses(trust) ? { addresses: trust } : trust
  const { addresses, ...others } = checkOptions(owner, options, objectChecks)
  const listed = compileHosts(addresses, owner)
  const verdictOn = compileTrust({ ...others, trusts: listed.address })
  const decide = ({ socket }: InboundMessage) =>
    listed.socket?.(socket) === true ? trusted : verdictOn(socket.remoteAddress, undefined)
  return { decide, perRequest: false }
}

function isAddresses(trust: Exclude<Trust, (message: never) => unknown>): trust is TrustedAddresses {
  return typeof trust === 'string' || Array.isArray(trust)
}

/** A peer's certificate, which the server requested and verified. */
type VerifiedSocket = Pick<TLSSocket, 'authorized' | 'getPeerCertificate'>

interface Listed {
  readonly address: ((address: string) => boolean) | undefined
  readonly socket: ((socket: Socket) => boolean) | undefined
}

/** Hosts by the address of the socket, or by the names in the peer's certificate. Names are not resolved. */
function compileHosts(addresses: TrustedAddresses | undefined, owner: string): Listed {
  if (addresses === undefined) return { address: undefined, socket: undefined }
  const list: unknown[] = typeof addresses === 'string' ? [addresses] : [...addresses]
  const ranges: string[] = []
  const names = new Set<string>()
  for (const entry of list) {
    if (isEveryHost(entry)) throw everyHost(owner, entry)
    const address = withoutBrackets(entry)
    const isAddress = isRange(address) || isIP(address) !== 0
    const host = isAddress ? undefined : parseHost(entry)
    if (isAddress) ranges.push(address)
    else if (host === undefined || !isName(host)) throw invalid(owner, addresses)
    else if (host.key === 'localhost') ranges.push('loopback')
    else names.add(host.key)
  }
  const contains = compiled(ranges, addresses, owner)
  if (containsEveryHost(contains)) throw everyHost(owner, addresses)
  return { address: contains, socket: names.size === 0 ? undefined : (socket) => hasName(socket, names) }
}

function compiled(ranges: string[], addresses: TrustedAddresses, owner: string): (address: string) => boolean {
  try {
    return compileRanges(ranges)
  } catch (cause) {
    throw invalid(owner, addresses, cause)
  }
}

/** A text with a quote has names with a comma, one of which could look like another entry. */
function hasName(socket: Socket, names: ReadonlySet<string>): boolean {
  const { authorized, getPeerCertificate } = socket as unknown as Partial<VerifiedSocket>
  if (authorized !== true || getPeerCertificate === undefined) return false
  const { subjectaltname = '' } = getPeerCertificate.call(socket)
  if (subjectaltname.includes('"')) return false
  return subjectaltname.split(', ').some((entry) => {
    const [, name] = /^DNS:([\w.-]+)$/.exec(entry) ?? []
    return name !== undefined && [...hostKeys(name.toLowerCase())].some((key) => names.has(key))
  })
}

function withoutBrackets(entry: unknown): string {
  return typeof entry === 'string' ? entry.replace(/^\[(.*)\]$/s, '$1') : ''
}

/** Not an address in another form: the parser of URLs reads 010.0.0.1 as 8.0.0.1, and 0x7f000001 as 127.0.0.1. */
function isName({ key, protocol, port }: HostPattern): boolean {
  return protocol === undefined && port === undefined && !key.startsWith('[') && isIP(key) === 0
}

function invalid(owner: string, addresses: TrustedAddresses, cause?: unknown): TypeError {
  const message =
    `${owner} expected addresses, ranges such as '10.0.0.0/8', 'localhost', 'loopback', 'linklocal', 'uniquelocal', or ` +
    `names of certificates such as '*.example.com', got ${show(addresses)}.`
  return new TypeError(message, { cause })
}

function everyHost(owner: string, addresses: unknown): TypeError {
  return new TypeError(
    `${owner} expected peers of your own, got ${show(addresses)}, which trusts every client: each of them could set values. ` +
      "List your services, for example '10.20.0.0/16'. If only your services can connect, write: trust: () => true.",
  )
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

/** The headers in which a proxy sends the address of its client. RFC 7239 */
const forwardingHeaders = ['x-forwarded-for', 'forwarded']

/** What was refused from the peers of a server. */
export interface Refusals {
  readonly counters: RefusalCounters
}

/** Decides which peers are trusted, once per socket, and counts what is refused. */
export class PeerWatch implements Refusals {
  readonly counters: RefusalCounters = { refused: 0, malformed: 0, duplicate: 0, truncated: 0 }
  readonly #rule: TrustRule
  readonly #onRefusal: (refusal: Refusal) => unknown
  readonly #log: Log
  #forwardingReported = false
  /** A socket has its peer under this key: a `WeakMap` costs the garbage collector more. */
  readonly #peerKey = Symbol('logical-context.peer')
  readonly #reported = new ReportedKeys()

  constructor(rule: TrustRule, onRefusal: (refusal: Refusal) => unknown, log: Log) {
    this.#rule = rule
    this.#onRefusal = onRefusal
    this.#log = log
  }

  peerOf(message: InboundMessage): Peer {
    const peer = this.#peerOfSocket(message)
    if (peer.values && !this.#forwardingReported && !this.#rule.perRequest) this.#reportForwarding(message)
    return peer
  }

  #peerOfSocket(message: InboundMessage): Peer {
    const socket = message.socket as Socket & Record<symbol, Peer | undefined>
    const known = this.#rule.perRequest ? undefined : socket[this.#peerKey]
    if (known !== undefined) return known
    const { trace, values } = this.#verdictOn(message)
    const peer = new SocketPeer(this, socket.remoteAddress ?? '', trace, values)
    socket[this.#peerKey] = peer
    return peer
  }

  /** A list of addresses trusts a proxy and, without intent, all its clients. A function decides with intent. */
  #reportForwarding({ headers, socket }: InboundMessage): void {
    const header = forwardingHeaders.find((name) => headers[name] !== undefined)
    if (header === undefined) return
    this.#forwardingReported = true
    const address = socket.remoteAddress ?? ''
    this.#log.warn(
      { address, header },
      `the trusted peer ${address} forwards requests of its clients (${header}), so each of these clients can set ` +
        "values. Remove the peer from the option 'trust', and set trust: { privatePeers: 'restart' }. If the peer " +
        'removes the context headers of its clients, use a function: trust: () => true.',
    )
  }

  /** A `trust` function that fails must not end the server: its peer is a stranger. */
  #verdictOn(message: InboundMessage): Verdict {
    try {
      return this.#rule.decide(message)
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
    if (!this.#reported.add(network)) return
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
  refused:
    "if the peer is a service of your own, list its address in the option 'trust'. Do not list a proxy: " +
    'each of its clients could set values',
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
