import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import { LogicalContext } from '../context/logical-context.ts'
import { aFunction, anything, type Checks, oneOf } from '../options.ts'
import { type Carrier, incomingCarrier } from '../propagators/carrier.ts'
import { composite } from '../propagators/composite.ts'
import type { Peer, Propagator } from '../propagators/propagator.ts'
import { requestTimeout } from '../propagators/request-timeout.ts'
import { xRequestId } from '../propagators/x-request-id.ts'
import { w3cBaggage } from '../propagators/w3c-baggage.ts'
import { w3cTraceContext } from '../propagators/w3c-trace-context.ts'
import { type LateUseOptions, LateUseWatch } from '../tasks/late-use.ts'
import { aPolicy, type Policy } from '../tasks/policy.ts'
import { RequestScope } from '../tasks/request-scope.ts'
import type { OnTaskError } from '../tasks/task.ts'
import { TaskGroup } from '../tasks/task-group.ts'
import { serverLimits, type TaskLimits } from '../tasks/task-limits.ts'
import type { UnitSettings } from '../tasks/unit.ts'
import { deadline } from '../variables/deadline.ts'
import { newUuid } from '../variables/ids.ts'
import { requestId } from '../variables/request-id.ts'
import { PeerWatch, type Refusal } from './peer-watch.ts'
import { aTrust, type Trust, trustRule } from './trust.ts'

/** What the trunk must know of a message that opens a unit; Node's `IncomingMessage` is one. */
export interface InboundMessage {
  readonly headers: IncomingHttpHeaders
  readonly socket: Socket
  readonly method?: string | undefined
  readonly url?: string | undefined
}

export interface InboundOptions extends LateUseOptions {
  /** For the tasks that name no policy themselves, nor their route. Default: `inherit`. */
  policy?: Policy
  /** What is read from a request's headers. Default: `[w3cTraceContext(), w3cBaggage(), xRequestId(), requestTimeout()]`. */
  propagators?: readonly Propagator[]
  /** Who may tell us values. Default: nobody; traces are continued for loopback and private addresses. */
  trust?: Trust
  /** How many tasks there may be. Default: `serverLimits`, 1,000 running, 10,000 queued and 100 a request. */
  limits?: TaskLimits
  /** Told of each failure of a task that has no `onError` of its own. Default: logs it. */
  onError?: OnTaskError
  /** Told of the first thing of a kind that was not taken from each network of peers. Default: logs it. */
  onRefusal?: (refusal: Refusal) => void
}

export const inboundChecks: Checks = {
  policy: aPolicy,
  // `composite` checks its list.
  propagators: anything,
  trust: aTrust,
  // The group checks them.
  limits: anything,
  onError: aFunction,
  onRefusal: aFunction,
  lateWrites: oneOf('throw', 'report'),
  onLateUse: aFunction,
}

/**
 * The way in, the same for every server: what the peer may tell is extracted, a scope opens with it, the work runs in
 * the scope, and the scope closes. Adapters call `open` once a request, `scope.run` and, at its end, `scope.close`.
 */
export class Inbound {
  /** Owns all tasks that are spawned in requests. */
  readonly group: TaskGroup
  /** What was not taken from peers, counted. */
  readonly peers: PeerWatch
  /** Reads and writes after the end of a request, counted. */
  readonly lateUse: LateUseWatch
  readonly #propagators: readonly Propagator[]
  readonly #settings: UnitSettings

  /** Takes options that its adapter has checked with `inboundChecks`. */
  constructor(options: InboundOptions & Required<Pick<InboundOptions, 'onError' | 'onRefusal'>>) {
    const {
      policy,
      propagators = [w3cTraceContext(), w3cBaggage(), xRequestId(), requestTimeout()],
      trust,
      limits,
      onError,
      onRefusal,
      lateWrites,
      onLateUse,
    } = options
    // Checks the list; here each is asked on its own, so that one that fails takes nothing from the others.
    composite(propagators)
    this.#propagators = [...propagators]
    this.peers = new PeerWatch(trustRule(trust), onRefusal)
    this.group = new TaskGroup({ name: 'background', ...serverLimits, ...limits, onError })
    this.lateUse = new LateUseWatch({ lateWrites, onLateUse })
    this.#settings = { group: this.group, policy, lateUse: this.lateUse }
  }

  /** A scope that starts with what the message's peer may tell; it always has a request id. */
  open(name: string, message: InboundMessage): RequestScope {
    const peer = this.peers.judge(message)
    const told = this.#extract(incomingCarrier(message.headers), peer)
    const context = told.has(requestId) ? told : told.with(requestId, newUuid())
    const scope = new RequestScope(name, context, this.#settings)
    const limit = context.get(deadline)
    if (limit !== undefined) scope.expireAt(limit)
    return scope
  }

  /** The settings for a route with a policy of its own. */
  settingsFor(policy: Policy | undefined): UnitSettings {
    return policy === undefined ? this.#settings : { ...this.#settings, policy }
  }

  #extract(carrier: Carrier, peer: Peer): LogicalContext {
    let context = LogicalContext.empty
    for (const propagator of this.#propagators) {
      try {
        context = propagator.extract(context, carrier, peer)
      } catch {
        peer.refuse('malformed', propagator.fields[0] ?? '')
      }
    }
    return context
  }
}
