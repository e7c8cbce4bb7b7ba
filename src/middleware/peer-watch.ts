import type { Socket } from 'node:net'
import { show } from '../options.ts'
import type { Refuse, RefusalReason, Peer } from '../propagators/propagator.ts'
import type { Verdict } from '../propagators/trust.ts'
import { inboundRefuse } from '../tasks/lifecycle.ts'
import type { InboundMessage } from './inbound.ts'
import type { TrustRule } from './trust.ts'

/** How many of each reason there were. */
export type RefusalCounters = Record<RefusalReason, number>

/** A value or an identity that a peer sent and that was not taken. */
export interface Refusal {
  reason: RefusalReason
  /** The header, or the header and its member. */
  field: string
  /** The peer's address, or empty. */
  address: string
  /** What to change if the peer is one of yours. */
  hint: string
}

/** How many networks are remembered as reported; past that, refusals are only counted. */
const maxNetworks = 1000

/** Judges peers, once a socket, and counts what they are not believed. */
export class PeerWatch {
  readonly counters: RefusalCounters = { refused: 0, malformed: 0, duplicate: 0, truncated: 0 }
  readonly #rule: TrustRule
  readonly #onRefusal: (refusal: Refusal) => void
  /** Where a socket bears its peer: a `WeakMap` would be dearer for the collector. */
  readonly #peerKey = Symbol('logical-context.peer')
  readonly #reported = new Set<string>()

  constructor(rule: TrustRule, onRefusal: (refusal: Refusal) => void) {
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

  /** A function of the program's that fails on a request must not take the server with it: the peer is a stranger. */
  #verdictOn(message: InboundMessage): Verdict {
    try {
      return this.#rule.judge(message)
    } catch (error) {
      this.count(
        'refused',
        'trust',
        message.socket.remoteAddress ?? '',
        `the option 'trust' has failed: ${show(error)}`,
      )
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
    try {
      this.#onRefusal({ reason, field, address, hint })
    } catch (error) {
      console.error(`logical-context: onRefusal has failed: ${show(error)}`)
    }
  }
}

/** What is believed of a socket. Most have nothing to refuse of, so that a function for it is made when it is asked for. */
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

/** The /24 of an IPv4 address, the first four groups of an IPv6 address. */
function networkOf(address: string): string {
  if (address.includes('.')) return address.slice(0, address.lastIndexOf('.'))
  return address.split(':', 4).join(':')
}
