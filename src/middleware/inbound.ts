import type { Socket } from 'node:net'
import { LogicalContext } from '../context/logical-context.ts'
import { anyOf, checkArgument, checkOptions, isFunction, isRecord, noOptions } from '../options.ts'
import { incomingCarrier } from '../propagators/carrier.ts'
import { compilePropagators } from '../propagators/composite.ts'
import type { Propagator } from '../propagators/propagator.ts'
import { requestTimeout } from '../propagators/request-timeout.ts'
import { w3cBaggage } from '../propagators/w3c-baggage.ts'
import { w3cTraceContext } from '../propagators/w3c-trace-context.ts'
import { generateRequestId, xRequestId } from '../propagators/x-request-id.ts'
import { type LateUseCounters, LateUseWatch } from '../tasks/late-use.ts'
import type { Policy } from '../tasks/policy.ts'
import { RequestScope } from '../tasks/request-scope.ts'
import { TaskGroup } from '../tasks/task-group.ts'
import { limitChecks, limitsOf, serverLimits, type TaskLimits } from '../tasks/task-limits.ts'
import type { UnitSettings } from '../tasks/unit.ts'
import { deadline } from '../variables/deadline.ts'
import { newUuid } from '../variables/ids.ts'
import { requestId } from '../variables/request-id.ts'
import { withGivenValues } from './given-values.ts'
import { inboundChecks, type InboundMessage, type InboundOptions, type SocketlessMessage } from './inbound-options.ts'
import { type Log, logFailure, stderrLog } from './log.ts'
import { PeerWatch, type Refusals, trustRule } from './trust.ts'

export type { InboundMessage, InboundOptions, SocketlessMessage } from './inbound-options.ts'
export type { Log } from './log.ts'
export type { Refusal, RefusalCounters, Refusals, Trust, TrustByAddress, TrustedAddresses } from './trust.ts'

/**
 * The inbound side, the same for every server: it extracts what the peer may set, and opens a scope with it. An adapter
 * calls `open` once per request, `scope.run` for the work, and `scope.close` at its end.
 */
export class Inbound {
  /** The group that owns all tasks spawned in requests. */
  readonly group: TaskGroup
  /** Counts what was refused from peers. */
  readonly peers: Refusals
  /** Counts the reads and writes after the end of a request. */
  readonly lateUse: LateUseCounters
  readonly #watch: PeerWatch
  readonly #propagator: Propagator
  readonly #settings: UnitSettings

  /** @throws {TypeError} for an option that is unknown or of the wrong type. */
  constructor(options?: InboundOptions, { owner = 'Inbound', log = stderrLog }: InboundAdapter = noOptions) {
    const {
      policy,
      propagators = [w3cTraceContext(), w3cBaggage(), xRequestId(), requestTimeout()],
      trust,
      limits,
      onError = (error, task) => logFailure(log, error, task),
      onRefusal = (refusal) =>
        log.warn(refusal, `${refusal.field} of ${refusal.address} ${refusal.reason}: ${refusal.hint}`),
      lateWrites,
      onLateUse = (use) => log.warn(use, `late ${use.operation} of '${use.variable}' ${use.callSite}`),
    }: InboundOptions = checkOptions(owner, options, inboundChecks)
    const taskLimits = withDefaults<TaskLimits>(
      serverLimits,
      checkOptions(`${owner}: option 'limits'`, limits, limitChecks),
    )
    limitsOf(`${owner}: option 'limits'`, taskLimits)
    this.#propagator = compilePropagators(`${owner}: option 'propagators'`, propagators)
    this.#watch = new PeerWatch(trustRule(trust, `${owner}: option 'trust'`), onRefusal, log)
    this.peers = this.#watch
    this.group = new TaskGroup({ name: 'background', ...taskLimits, onError })
    const lateUse = new LateUseWatch({ lateWrites, onLateUse })
    this.lateUse = lateUse
    this.#settings = { group: this.group, policy, lateUse }
  }

  /**
   * Opens a scope with what the message's peer may set. It always has a request id: the peer's, else one by the
   * propagator's `generate`, else one by `generate`, else a UUID. A message without a socket has a peer without an
   * address: `inbound.open('POST /orders', { headers: event.headers })`.
   */
  open<Message extends InboundMessage>(
    name: string,
    message: Message,
    generate?: (message: Message) => string,
  ): RequestScope
  open(name: string, message: SocketlessMessage): RequestScope
  open(name: string, given: InboundMessage | SocketlessMessage, generate?: (message: never) => string): RequestScope {
    const message = given?.socket ? given : withSocket(given)
    if (typeof name !== 'string') checkArgument('Inbound.open', aName, name)
    if (generate !== undefined) checkArgument('Inbound.open', aGenerator, generate)
    const peer = this.#watch.peerOf(message)
    const newRequestId = (own?: (request: never) => string) =>
      own === undefined
        ? generateRequestId(generate ?? newUuid, message, "the server's generator of request ids")
        : generateRequestId(own, message)
    const carrier = incomingCarrier(message.headers)
    const extracted = this.#propagator.extract(LogicalContext.empty, carrier, peer, { newRequestId })
    const identified = extracted.has(requestId) ? extracted : extracted.with(requestId, newRequestId())
    const context = withGivenValues(identified, message.headers)
    const scope = new RequestScope(name, context, this.#settings)
    const limit = context.get(deadline)
    if (limit !== undefined) scope.expireAt(limit)
    return scope
  }

  /** @internal The settings for a route with a policy of its own. */
  settingsFor(policy: Policy | undefined): UnitSettings {
    return policy === undefined ? this.#settings : { ...this.#settings, policy }
  }
}

/** What an adapter sets. */
export interface InboundAdapter {
  /** The function that the user called, for error messages. Default: `Inbound`. */
  readonly owner?: string
  /** The server's logger. Default: stderr. */
  readonly log?: Log
}

const aName = anyOf('the name of the unit, a string', (value) => typeof value === 'string')
const aGenerator = anyOf('a function that returns an id', isFunction)
const aMessage = anyOf('a message with headers', isRecord)

/** In the shape that `trust` functions and generators of ids read. The names of the headers are in lower case. */
function withSocket(message: SocketlessMessage): InboundMessage {
  checkArgument('Inbound.open', aMessage, message)
  const headers: Record<string, string> = Object.create(null) as object as Record<string, string>
  const source = message.headers ?? {}
  for (const [name, value] of Symbol.iterator in source ? source : Object.entries(source)) {
    const text = Array.isArray(value) ? value.join(', ') : value
    if (typeof text !== 'string') continue
    const key = name.toLowerCase()
    headers[key] = key in headers ? `${headers[key]}, ${text}` : text
  }
  return { ...message, headers, socket: {} as Socket }
}

/** An option with the value `undefined` is not set. */
function withDefaults<Options extends object>(defaults: Options, options: Options): Options {
  const set = Object.entries(options).filter(([, value]) => value !== undefined)
  return { ...defaults, ...(Object.fromEntries(set) as Options) }
}
